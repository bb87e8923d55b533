"""Drawings of the little game: figures, letters and the level, as text that can be read and changed.

One character is one pixel, from ink to white `# X x o - : _`; a full stop can be seen through. Poses of a figure stand
side by side.
"""

import functools

import numpy as np

HEIGHT, WIDTH, TILE = 144, 160, 16  # of the screen and of a tile, in pixels
GROUND = HEIGHT - TILE  # row of the ground's surface
GREYS = {"#": 16, "X": 64, "x": 104, "o": 144, "-": 184, ":": 216, "_": 248, ".": 0}  # 0 is see-through, not painted


def sprites(drawing):
    """The pictures that stand side by side in a drawing, a blank between them: list of uint8 (H, W), 0 is see-through.

    Raises:
        ValueError: lines with different numbers of pictures, or a picture whose lines differ in length.
    """
    lines = [line.split() for line in drawing.strip().splitlines()]
    pictures = list(zip(*lines, strict=True))
    if any(len({len(row) for row in picture}) > 1 for picture in pictures):
        raise ValueError(f"all lines of a picture must be equally long:\n{drawing}")
    return [np.array([[GREYS[pixel] for pixel in row] for row in picture], np.uint8) for picture in pictures]


# --- the player: two running poses, in the air, ducked --------------------------------------------------------------

RUN_1, RUN_2, JUMP, DUCK = sprites("""
................  ..###..###......  .......##..##...  ................
..###..###......  .#__-##__-#.....  ......#_-##_-#..  ................
.#__-##__-#.....  .#___-#___-#....  ......#_-##_-#..  ................
.#___-#___-#....  ..#___-#__-#....  .....#__-#__-#..  ................
..#___-#__-#....  ...#___#___#....  .....#__-#__-#..  ................
...#___#___#....  ....#__#__####..  .....#__#__-###.  ................
....#__#__####..  ....#________##.  ....#________##.  ................
....#________##.  ...#__________#.  ...#__________#.  ................
...#__________#.  ...#______##___#  ...#______##___#  ..######........
...#______##___#  ...#______##___#  ...#______##___#  .#______####....
...#______##___#  ...#___________#  ...#___________#  .#_---______##..
...#___________#  ...#__:-_____:##  ...#__:-_____:##  ..####_______##.
...#__:-_____:##  ....##_______#..  ....##_______#.#  ...#_-____##___#
....##_______#..  ...#XXXXXXXXX#..  ###XXXXXXXXX##_#  ..##______##___#
...#XXXXXXXXX#..  .##X##XXXX#___#.  #XX##XXXX#____#.  .#_##__________#
.##X#XXXXX##_##.  #XX#______#__#..  .###______####..  #__#_#:-_____:##
#XX#_____#___#..  .##_______-##...  ##_________#....  #____XX######X#.
.###_____-###...  #__#___-___#....  #__#___-____###.  .#___#XXXXXXXX#.
..#___##-#__#...  .##__###_-__##..  .##__##.#-____#.  .#_____##__:__#.
..#####.#####...  ...###..######..  ..###....#####..  ..######.######.
""")

# --- enemies, looking to the left -----------------------------------------------------------------------------------

HEDGEHOG = sprites("""
.....#..#..#....  .....#..#..#....
...#.##.##.##.#.  ...#.##.##.##.#.
...############.  ...############.
..##xX#xX#xX#X#.  ..##xX#xX#xX#X#.
.#::#X#xX#xX#X##  .#::#X#xX#xX#X##
.#:::##X#xX#xX#.  .#:::##X#xX#xX#.
#::#::#X#XX#xX##  #::#::#X#XX#xX##
##::::-##XX#XX##  ##::::-##XX#XX##
.#::---########.  .#::---########.
..####-----##...  ..####-----##...
...#:#..#:#.....  .....#:##:#.....
...###..###.....  .....######.....
""")

BAT = sprites("""
##............##  ................
#X#..#....#..#X#  .....#....#.....
#XX#.##..##.#XX#  .....##..##.....
#XXX########XXX#  ..############..
#XXX#_#XX#_#XXX#  .#XX#_#XX#_#XX#.
.#XX########XX#.  #XXX########XXX#
..##.#XXXX#.##..  #XXX#XXXXXX#XXX#
.....##__##.....  #X##.##__##.##X#
......####......  #.....####.....#
""")

FROG = sprites("""
..###...........  ..###...........
.#__##..........  .#__##..........
.#_#_####.......  .#_#_####.......
#xx__xxxx##.....  #xx__xxxx##.....
#xxxxxxxxxx##...  #xxxxxxxxxx##...
.#XXxxXxxxxxx#..  .#XXxxXxxxxXx#..
.#xxxxxxxXxxxx#.  .#xxxxxxxxxxx##.
..#::::xxx##xxx#  ..#::::xx##xx#x#
..##::::x#xx#xx#  .#x#::::##xx#x#.
.#x##:::#xxx#xx#  #x#.###x##xxx##.
.#xx#####xxxx##.  ##.....#xx##xx#.
.#####.#######..  ........##.####.
""")

# --- what appears by chance -----------------------------------------------------------------------------------------

*BIRD, STAR_1, STAR_2 = sprites("""
....###.....  ............  ....#....  ....#....
....#__#....  ............  ...#_#...  ...#-#...
.####__#....  .####.......  ####_####  ####-####
#_#__#__####  #_#__#######  #_______#  #-------#
##____-__-_#  ##____-__-_#  .#_____#.  .#-----#.
.##______##.  .###____####  .#__#__#.  .#--#--#.
...######...  ...#-__#....  #__#.#__#  #--#.#--#
............  ....###.....  ###...###  ###...###
""")
STAR = [STAR_1, STAR_2]

# --- scenery --------------------------------------------------------------------------------------------------------

EARTH = sprites("""
################  ################
-:-:-:-:-:-:-:-:  -:-:-:-:-:-:-:-:
o-oo-o-oo-oo-o-o  oo-o-oo-o-o-oo-o
ooXoooXoooXooXoo  oXoooXooXoooXooX
oX#XoX#XoX##X##X  X#XoX##X##oX##X#
X#xxXxx#X#xxxxx#  #xxX#xxxxX#xxxx#
xxxxxxxxxxxxxxxx  xxxxxxxxxxxxxxxx
xxoooxxxxxxxxxxx  xxxxxxxxxxoooxxx
xo---oxxxxxxXXxx  xxXXxxxxxo---oxx
xo--oXxxxxxxxXxx  xxxXxxxxxo--oXxx
xxooXxxxxxxxxxxx  xxxxxxxxxxooXxxx
xxxxxxxxxooxxxxx  xxxooxxxxxxxxxxx
xxxXXxxxo--oxxxx  xxo--oxxxxxxXXxx
xxxxXxxxxooXxxxx  xxxooXxxxxxxxXxx
XxXxXxXxXxXxXxXx  XxXxXxXxXxXxXxXx
xXxXxXxXxXxXxXxX  xXxXxXxXxXxXxXxX
""")

BRICKS, CLOUD = sprites("""
################  ............-----......................
#__________#___#  .........---_____---...................
#_--------o#_-o#  ........-___________--...----..........
#_--------o#_-o#  .......-______________---____--........
#oooooooooo#ooo#  ...----_________________________-......
################  ..-______________________________-.....
#___#__________#  .-________________________________---..
#_-o#_--------o#  -____________________________________-.
#_-o#_--------o#  -_____________________________________-
#ooo#oooooooooo#  .-___::________::________::___________-
################  ..--::::::___::::::::__::::::::__::::-.
..X..X....X..X..  ....----------------------------------.
""")

(PIPE,) = sprites("""
########################
#__:-------------ooxxXX#
#__:-------------ooxxXX#
#__:-------------ooxxXX#
#oo-oooooooooooooxxxXXX#
########################
..#__:----------ooxxX#..
""")
PIPE = PIPE.repeat([1] * 6 + [14], axis=0)  # the last line 14 times

(TREE,) = sprites("""
...........XXXXXX...............
........XXXooooooXXX............
......XXooo--oooooooXX..........
.....Xooo-----ooooooooX.........
....Xoo---:--ooooooooooX.XXX....
...Xoo---::-ooooooxoooooXoooXX..
...Xo---:--oooooooooxooooooooooX
..Xoo--:--ooooxooooooooooooooooX
..Xoo----ooooooooooxoooo--ooooxX
..Xooo--oooooooxoooooooo---oooxX
...Xoooooooxoooooooxxooo--oooxX.
.XXXooooooooooxoooooooooooooxxX.
XoooooxooooooooooxooxoooooxoxxX.
Xoo--ooooxoooxooooooooxooooxxxX.
Xo---oooooooooooxoooooooxooxxX..
Xo--ooooooxoooooooxooxoooxxxX...
Xooooooooooooxooooooooooxxxx.XX.
.XooooxoooxoooooxooxooxxxxxoxxX.
.XoooooooooooxoooooxoxxxxoooxxX.
..XXoooxooooooooxooxxxxxoooxxxX.
....XXoooxoooxoooxxxxxxxxoxxxX..
......XXxooooooxxxxXXxxxxxxXX...
........XXxxxxxxxXX..XXXXXX.....
..........XXXXXX#...............
............#xX#................
............#xX#................
............#xX#................
............#xX#................
............#xX#................
............#xXX#...............
...........#xxXX#...............
..........##X#XX##..............
""")

BUSH, FENCE, FLOWERS, SIGN = sprites("""
........................  .##....##....##.  ................  ..............
........................  #__#..#__#..#__#  ................  ############..
.......XXXX.............  #_-#..#_-#..#_-#  ..XXX...........  #_________:##.
.....XXo--oXX...XXX.....  #_-####_-####_-#  .X___XX.........  #_______X_:_##
...XXo-----ooXXX--oXX...  #_-#__#_-#__#_-#  .X_o_XX..XXX....  #_XXXXXXXX::_#
..Xoo---ooooooo---oooX..  #_-####_-####_-#  .X___XX.X___X...  #_______X_:_##
.Xo---oooxoooooooooooxX.  #_-#..#_-#..#_-#  ..XXX.X.X_o_XX..  #----------##.
.Xo--ooooooooxooooxoooX.  #_-####_-####_-#  ...X..X.X___X.X.  ############..
XoooooxoooooooooooooooxX  #_-#__#_-#__#_-#  .X.X.X...XXX.X..  ....#oX#......
XooxooooooxooooxooooxoxX  #_-####_-####_-#  ..XXX..X.X.X....  ....#oX#......
XoooooxooooooxooooxoxxxX  #_-#..#_-#..#_-#  ...X....XXXX....  ....#oX#......
XXXXXXXXXXXXXXXXXXXXXXXX  #_-#..#_-#..#_-#  ...X......X.....  ....#oX#......
""")

(PINE,) = sprites("""
......X......
.....XxX.....
.....XxX.....
....XxxxX....
....XxxXX....
...XxxxXXX...
....XxxXX....
...XxxxXXX...
..XxxxxXXXX..
....XxxXX....
..XxxxxXXXX..
.XxxxxxXXXXX.
......X......
......X......
""")

# --- letters --------------------------------------------------------------------------------------------------------


def letters(drawing):
    """As `sprites`, but see-through pixels become ink and all others white."""
    return [np.where(sprite > 0, np.uint8(GREYS["_"]), np.uint8(GREYS["#"])) for sprite in sprites(drawing)]


DIGITS = letters("""
.#####..  ...##...  .#####..  .#####..  ....###.  #######.  .#####..  #######.  .#####..  .#####..
##...##.  ..###...  ##...##.  ##...##.  ...####.  ##......  ##...##.  ##...##.  ##...##.  ##...##.
##..###.  .####...  .....##.  .....##.  ..##.##.  ##......  ##......  .....##.  ##...##.  ##...##.
##.####.  ...##...  ...###..  ..####..  .##..##.  ######..  ######..  ....##..  .#####..  .######.
####.##.  ...##...  ..##....  .....##.  ##...##.  .....##.  ##...##.  ...##...  ##...##.  .....##.
###..##.  ...##...  .##.....  .....##.  #######.  .....##.  ##...##.  ..##....  ##...##.  .....##.
##...##.  ...##...  ##......  ##...##.  .....##.  ##...##.  ##...##.  ..##....  ##...##.  ##...##.
.#####..  .######.  #######.  .#####..  .....##.  .#####..  .#####..  ..##....  .#####..  .#####..
""")

LABEL = letters("""
######..  .####...  .#####..  .######.  ..###...  ##...##.  .#####..  #######.
##...##.  ..##....  ##...##.  ...##...  .##.##..  ###..##.  ##...##.  ##......
##...##.  ..##....  ##......  ...##...  ##...##.  ####.##.  ##......  ##......
##...##.  ..##....  .#####..  ...##...  ##...##.  ##.####.  ##......  ######..
##...##.  ..##....  .....##.  ...##...  #######.  ##..###.  ##......  ##......
##...##.  ..##....  .....##.  ...##...  ##...##.  ##...##.  ##......  ##......
##...##.  ..##....  ##...##.  ...##...  ##...##.  ##...##.  ##...##.  ##......
######..  .####...  .#####..  ...##...  ##...##.  ##...##.  .#####..  #######.
""")


# --- the level: the same in every game ------------------------------------------------------------------------------

# A letter places a figure by its lower left corner; H, B and F are the homes of hedgehogs, bats and frogs.
LEVEL = [
    ".......===..........==.............==...",
    "........................................",
    "................B...............B.......",
    ".s.T.fb.b.P.H.w.....T.F.f.Hb..PT.w.FT.bP",
    "GgGGgGgGGgggGgGGgGgGGgGggGGgGGgGgGgGGggG",
]
PLACED = {"=": BRICKS, "P": PIPE, "T": TREE, "b": BUSH, "f": FENCE, "w": FLOWERS, "s": SIGN}
PLACED |= {"G": EARTH[0], "g": EARTH[1]}


def tiles(letters):
    """Letter, left column and bottom row, in pixels, of all places in the map that bear one of the letters."""
    top = HEIGHT - TILE * len(LEVEL)
    for i, line in enumerate(LEVEL):
        yield from ((letter, TILE * j, top + TILE * (i + 1)) for j, letter in enumerate(line) if letter in letters)


def paste(picture, sprite, column, row):
    """Draw a sprite, its upper left corner at (row, column), cut off at the picture's edges.

    Returns:
        A pair of slices of the picture and the mask of the pixels painted there.
    """
    top, left = max(row, 0), max(column, 0)
    part = sprite[top - row : max(picture.shape[0] - row, 0), left - column : max(picture.shape[1] - column, 0)]
    place = np.s_[top : top + part.shape[0], left : left + part.shape[1]]
    np.copyto(picture[place], part, where=part > 0)
    return place, part > 0


@functools.cache
def layers():
    """The scenery by its speed in pixels a frame: {0: uint8 (144, 160), 1: (144, 320), 2: (144, 640)}, 0 see-through.

    The mountains stand still, hills and clouds move by 1, the level by 2; the moving layers repeat.
    """
    still = np.full((HEIGHT, WIDTH), GREYS[":"], np.uint8)
    rows, columns = np.indices(still.shape)
    haze = (rows - 56) // 8 > 2 * ((rows + columns) % 2) + rows % 2  # towards the horizon more and more dots are white
    still[haze | (np.hypot(rows - 36, columns - 130) < 11.5)] = GREYS["_"]  # and the sun
    for centre, height in ((18, 44), (62, 58), (104, 36), (146, 52)):
        depth = rows - GROUND + height - np.abs(columns - centre)  # below the slopes of a mountain
        still[depth >= 0] = GREYS["-"]
        still[(depth >= 0) & (rows < GROUND - height + 11 - np.abs(columns - centre) % 4)] = GREYS["_"]  # snow
    still[:TILE] = GREYS["#"]
    for i, letter in enumerate(LABEL):
        paste(still, letter, 8 + 8 * i, 4)

    middle = np.zeros((HEIGHT, 320), np.uint8)
    rows, columns = np.indices(middle.shape)
    for centre, height, width in ((250, 26, 52), (118, 22, 46), (300, 20, 34), (176, 40, 50), (40, 34, 50)):
        away = np.abs((columns - centre + 160) % 320 - 160) / width
        depth = rows - GROUND + height * (1 - away**2) - 0.5  # below the curve of a hill
        middle[depth >= 0] = GREYS["o"]
        middle[(depth >= 0) & (depth < 1 + 2 * away)] = GREYS["x"]
    for column, row in ((14, 24), (96, 40), (170, 22), (236, 36)):
        paste(middle, CLOUD, column, row)
    for column, row in ((70, 122), (84, 126), (142, 124), (212, 122), (222, 126), (276, 124)):
        paste(middle, PINE, column, row - len(PINE))

    near = np.zeros((HEIGHT, TILE * len(LEVEL[0])), np.uint8)
    for letter, column, bottom in tiles(PLACED):
        for x in (column, column - near.shape[1]):  # what reaches beyond the end goes on at the beginning
            paste(near, PLACED[letter], x, bottom - len(PLACED[letter]))
    return {0: still, 1: middle, 2: near}
