"""A little jump-and-run game, simulated and drawn here: films in which it is known what can be predicted and what not.

A rabbit runs through a level of 640 pixels that repeats, 2 pixels a frame. The scenery and the enemies are the same in
every game and follow from the picture. What the rabbit does is decided at random with known probabilities, birds and
stars appear by chance, and the display counts every frame. `python -m lib.datasets.gameplay out.gif` writes a film.
Played with a lamp, the game shows at one place of the picture what will be seen at other places in the next frame.
"""

import argparse
import functools
import io
import math
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from lib.datasets import gameplay_sprites as art
from lib.datasets.gameplay_sprites import GROUND, HEIGHT, TILE, WIDTH, layers, paste, tiles
from lib.storage.files import write_atomically

ELEMENTS = ("background", "enemies", "spawns", "player", "score")  # later ones are drawn over earlier ones
SPEED = 2  # pixels that the level moves to the left in a frame; the hills move 1, the mountains 0
PERIOD = TILE * len(art.LEVEL[0]) // SPEED  # frames after which the level, and with it every enemy, comes again: 320
PLAYER_COLUMN, SCORE_ROW, SCORE_COLUMN, SCORE_DIGITS = 32, 4, 112, 5
LAMP = np.s_[3:13, 83:93]  # rows and columns of the lamp in the display
LIGHT_AND_DARK = art.GREYS["_"] + art.GREYS["#"]  # a grey level and its negative add up to this
BLINK = 23  # frames for which a player who was hit blinks and cannot be hit again


class Action(IntEnum):
    """What a player can do in a frame. Nothing of it has an effect in the air; who ducks, stays down for one frame."""

    NONE, JUMP, HIGH_JUMP, DUCK = range(4)


JUMPS = {Action.JUMP: 7, Action.HIGH_JUMP: 9}  # speed of take-off in pixels a frame; gravity takes 1 from it per frame

# How things that appear by chance move, in pixels a frame to the right and down, and their chance to appear in a frame.
SPAWN_SPEED = {"bird": (-3, 0), "star": (-1, 2)}
SPAWN_CHANCE = {"bird": 1 / 60, "star": 1 / 60}
SPAWN_POSES = {"bird": art.BIRD, "star": art.STAR}


# --- the pictures ---------------------------------------------------------------------------------------------------


def enemies(phase, glowing=False):
    """All enemies at a phase of the level, 0 … PERIOD - 1: list of (sprite, column, row) on the screen.

    Each patrols about its home in the map, with periods that divide PERIOD: hedgehogs walk 32 pixels to and fro, bats
    rise and sink by 20, frogs leap to the left and back. When they are `glowing`, they are drawn in negative.
    """
    found = []
    for letter, column, bottom in tiles("HBF"):
        time = (phase + 3 * column) % PERIOD
        poses = {"H": art.HEDGEHOG, "B": art.BAT, "F": art.FROG}[letter]
        pose, to_the_right = time // 4 % 2, False
        if letter == "H":
            column, to_the_right = column + abs(time % 64 - 32), time % 64 >= 32
        elif letter == "B":
            bottom -= abs(time % 40 - 20) - 8
        else:
            leap = min(time % 40, 16)  # 16 frames in the air, 24 at rest
            to_the_right = time % 80 >= 40
            column, bottom = column - (16 - leap if to_the_right else leap), bottom - leap * (16 - leap) // 3
            pose = int(leap < 16)
        x = (column - SPEED * phase + TILE) % (SPEED * PERIOD) - TILE  # from -16, just left of the screen
        sprite = poses[pose][:, ::-1] if to_the_right else poses[pose]
        if glowing:
            sprite = np.where(sprite > 0, LIGHT_AND_DARK - sprite.astype(int), 0).astype(np.uint8)
        found.append((sprite, x, bottom - len(sprite)))
    return found


def _paste(picture, elements, name, sprite, column, row):
    """Draw a sprite and note which element its pixels belong to."""
    place, painted = paste(picture, sprite, column, row)
    elements[place][painted] = ELEMENTS.index(name)


@functools.lru_cache(maxsize=PERIOD)
def scenery(phase, glowing=False):
    """Background and enemies at a phase of the level: grey levels and indices into ELEMENTS, uint8 (144, 160) each."""
    picture, elements = layers()[0].copy(), np.zeros((HEIGHT, WIDTH), np.uint8)
    for speed in (1, 2):
        columns = np.arange(speed * phase, speed * phase + WIDTH)
        paste(picture, layers()[speed].take(columns, axis=1, mode="wrap"), 0, 0)
    for sprite, column, row in enemies(phase, glowing):
        _paste(picture, elements, "enemies", sprite, column, row)
    picture.flags.writeable = elements.flags.writeable = False  # they are kept for the next time
    return picture, elements


# --- the rules ------------------------------------------------------------------------------------------------------


@functools.cache
def rules():
    """What the level means for the player, whose feet are `height` above the ground: two tables.

    Returns:
        support: [phase][height], the highest surface (ground, bricks, pipe) under the feet that is not above them.
        hurts: [ducked][phase][height], whether the player touches an enemy or runs into a pipe.
    """
    left, right = PLAYER_COLUMN + 4, PLAYER_COLUMN + 12  # the columns of the feet; the sprite is broader
    heights = np.arange(HEIGHT)
    support = np.zeros((PERIOD, HEIGHT), int)
    hurts = np.zeros((2, PERIOD, HEIGHT), bool)
    for phase in range(PERIOD):
        boxes = [(x + 3, x + 13, GROUND - y - len(sprite) + 1, GROUND - y - 3) for sprite, x, y in enemies(phase)]
        for letter, column, bottom in tiles("=P"):
            sprite = art.PLACED[letter]
            top, x = GROUND - bottom + len(sprite), (column - SPEED * phase) % (SPEED * PERIOD)
            if x < right and left < x + sprite.shape[1]:
                support[phase] = np.where(heights >= top, np.maximum(support[phase], top), support[phase])
            if letter == "P":
                boxes.append((x, x + sprite.shape[1], 0, top))
        for x, end, low, top in boxes:
            if x < right and left < end:
                for ducked, body in enumerate((17, 10)):
                    hurts[ducked, phase] |= (heights < top) & (heights + body > low)
    return support.tolist(), hurts.tolist()  # lists are faster than arrays where single values are asked for


@dataclass(frozen=True)
class State:
    """All that a picture is drawn from."""

    distance: int = 0  # frames since the start; the level is at phase distance % PERIOD
    height: int = 0  # of the player's feet above the ground
    velocity: int = 0  # upwards, pixels a frame
    ducked: bool = False
    blink: int = 0  # frames for which the player goes on blinking
    spawns: tuple = ()  # of (kind, column, row)
    lamp: bool | None = None  # whether the lamp is lit; None: a game without a lamp
    glowing: bool = False  # the enemies glow when the lamp was lit one frame ago

    @property
    def on_ground(self):
        """Whether the player stands on something: in the air no action has an effect."""
        return self.velocity == 0 and rules()[0][self.distance % PERIOD][self.height] == self.height

    def after(self, action):
        """The state one frame later, before anything appears."""
        velocity = JUMPS.get(action, self.velocity) if self.on_ground else self.velocity
        distance, height = self.distance + 1, self.height + velocity
        support, hurts = rules()
        phase = distance % PERIOD
        if velocity <= 0 and height <= support[phase][self.height]:
            height, velocity = support[phase][self.height], 0
        else:
            velocity -= 1
        ducked = self.on_ground and action == Action.DUCK
        blink = BLINK if self.blink == 0 and hurts[ducked][phase][height] else max(self.blink - 1, 0)
        moved = ((kind, x + SPAWN_SPEED[kind][0], y + SPAWN_SPEED[kind][1]) for kind, x, y in self.spawns)
        spawns = tuple((kind, x, y) for kind, x, y in moved if x > -TILE and y < GROUND - 8)
        return State(distance, height, velocity, ducked, blink, spawns, self.lamp, bool(self.lamp))


def draw(state):
    """The picture of a state, and what each pixel belongs to: uint8 (144, 160) grey levels, indices into ELEMENTS."""
    phase = state.distance % PERIOD
    picture, elements = (array.copy() for array in scenery(phase, state.glowing))
    for kind, x, y in state.spawns:
        pose = x // 6 % 2 if kind == "bird" else y // 4 % 2
        _paste(picture, elements, "spawns", SPAWN_POSES[kind][pose], x, y)
    if state.blink // 2 % 2 == 0:
        running = art.DUCK if state.ducked else (art.RUN_1, art.RUN_2)[phase // 4 % 2]
        sprite = running if state.on_ground else art.JUMP
        _paste(picture, elements, "player", sprite, PLAYER_COLUMN, GROUND - state.height - len(sprite))
    digits = f"{state.distance % 10**SCORE_DIGITS:0{SCORE_DIGITS}d}"
    for i, digit in enumerate(digits):
        place = np.s_[SCORE_ROW : SCORE_ROW + 8, SCORE_COLUMN + 8 * i : SCORE_COLUMN + 8 * i + 8]
        picture[place] = art.DIGITS[int(digit)]
        elements[place] = ELEMENTS.index("score")
    if state.lamp is not None:
        picture[LAMP] = art.GREYS["_" if state.lamp else "X"]
        elements[LAMP] = ELEMENTS.index("score")  # it is a part of the display
    return picture, elements


class Game:
    """A game that is played frame by frame, by a person or by `policy_probabilities`.

    Args:
        seed: of what appears by chance, a whole number from 0.
        lamp: show a lamp that is lit in every frame with probability 1/2; all enemies glow in the frame after that.
            Nothing else is changed by it.

    Attributes:
        state: see `State`. frame: the picture now, uint8 (144, 160). elements: the index into ELEMENTS of each pixel.
    """

    def __init__(self, seed=0, lamp=False):
        self._random = np.random.default_rng(_checked(seed))
        self._lamp = np.random.default_rng((seed, 2))
        self.state = State(lamp=False if lamp else None)
        self.frame, self.elements = draw(self.state)

    def step(self, action):
        """Play one frame: an Action or its number -> the new picture, uint8 (144, 160).

        Raises:
            ValueError: there is no such action.
        """
        if action not in list(Action):
            names = ", ".join(f"{known.value} {known.name}" for known in Action)
            raise ValueError(f"there is no action {action!r}: choose one of {names}")
        state = self.state.after(Action(action))
        bird, star = self._random.random((2, 3))  # drawn in every frame, so that no action changes what will appear
        new = []
        if bird[0] < SPAWN_CHANCE["bird"]:
            new.append(("bird", WIDTH - 3, 20 + int(60 * bird[1])))
        if star[0] < SPAWN_CHANCE["star"]:
            new.append(("star", 50 + int(100 * star[1]), 18 + int(30 * star[2])))
        self.state = replace(state, spawns=state.spawns + tuple(new))
        if state.lamp is not None:
            self.state = replace(self.state, lamp=bool(self._lamp.random() < 0.5))
        self.frame, self.elements = draw(self.state)
        return self.frame


def _checked(seed):
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"the seed must be a whole number from 0, got {seed!r}")
    return seed


# --- the player's policy --------------------------------------------------------------------------------------------

LOOKAHEAD, REACTION = 24, 16  # frames that a player foresees; from how near on a danger makes the player act
RESTLESS = {"calm": 0.03, "ducked": 0.12, "in danger": 0.3}  # probability of doing something else, in each frame
WEIGHTS = {Action.NONE: 6, Action.JUMP: 3, Action.HIGH_JUMP: 2, Action.DUCK: 1}  # what else, among all that is safe


def frames_until_hit(state, action):
    """How soon the player is hit who does `action` now and nothing later (who ducks, stays down); LOOKAHEAD + 1: never.

    Enemies are deterministic, so this is no guess.
    """
    state = replace(state, spawns=(), blink=0)
    for frames in range(1, LOOKAHEAD + 1):
        state = state.after(action)
        if state.blink:
            return frames
        action = action if action == Action.DUCK else Action.NONE
    return LOOKAHEAD + 1


def policy_probabilities(game):
    """The probabilities of all actions in the present state of a game: float64 (4,), in the order of Action.

    In the air there is nothing to decide. On the ground the player mostly goes on as before (running, or ducked), does
    something else seldom just so, often where going on would end in a hit, and only what is safe.
    """
    probabilities = np.zeros(len(Action))
    state = game.state
    same = Action.DUCK if state.ducked and state.on_ground else Action.NONE
    probabilities[same] = 1
    if not state.on_ground:
        return probabilities
    danger = frames_until_hit(state, same) <= REACTION
    change = RESTLESS["in danger" if danger else "ducked" if state.ducked else "calm"]
    others = [action for action in Action if action != same and frames_until_hit(state, action) > LOOKAHEAD]
    total = sum(WEIGHTS[action] for action in others)
    for action in others:
        probabilities[action] = change * WEIGHTS[action] / total
    probabilities[same] -= change if others else 0
    return probabilities


def entropy_bits(probabilities):
    """Entropy of a distribution in bits: 0 for what is certain, at most 2 for four actions."""
    return -sum(p * math.log2(p) for p in probabilities if p > 0)


@dataclass(frozen=True)
class Recording:
    """A film of the game: T frames, none of which shows the state before the first action."""

    frames: np.ndarray  # uint8 (T, 144, 160), grey levels
    elements: np.ndarray  # uint8 (T, 144, 160), indices into ELEMENTS
    actions: np.ndarray  # int64 (T,): frame t is what action t led to
    entropy: np.ndarray  # float64 (T,), bits: of the policy from which action t was drawn

    @property
    def masks(self):
        """The pixels of each element, {name: bool (T, 144, 160)}: every pixel belongs to exactly one."""
        return {name: self.elements == i for i, name in enumerate(ELEMENTS)}


def record(num_frames, seed=0, progress=False, lamp=False):
    """Let the policy play for `num_frames` frames: a Recording.

    Args:
        seed: of the player's decisions and of what appears by chance. progress: show a progress bar. lamp: see `Game`.

    Raises:
        ValueError: num_frames is below 1, or the seed is no whole number from 0.
    """
    if num_frames < 1:
        raise ValueError(f"a recording needs at least 1 frame, got num_frames = {num_frames}")
    game, decisions = Game(seed, lamp), np.random.default_rng((_checked(seed), 1))
    frames, elements = (np.empty((num_frames, HEIGHT, WIDTH), np.uint8) for _ in range(2))
    actions, entropy = np.empty(num_frames, np.int64), np.empty(num_frames)
    for t in tqdm(range(num_frames), unit="frame", disable=not progress):
        probabilities = policy_probabilities(game)
        actions[t] = decisions.choice(len(Action), p=probabilities)
        entropy[t] = entropy_bits(probabilities)
        frames[t], elements[t] = game.step(actions[t]), game.elements
    return Recording(frames, elements, actions, entropy)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m lib.datasets.gameplay", description="Write a film of the game.")
    parser.add_argument("file", type=Path, help="where to write, .gif")
    parser.add_argument("--frames", type=int, default=300, help="length of the film (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="of player and chance (default: 0)")
    parser.add_argument("--scale", type=int, default=2, help="screen pixels per pixel (default: 2)")
    args = parser.parse_args(arguments)
    if args.file.suffix != ".gif" or args.frames < 1 or args.scale < 1 or args.seed < 0:
        parser.error("need a file whose name ends in .gif, --frames ≥ 1, --scale ≥ 1 and --seed ≥ 0")
    frames = record(args.frames, args.seed, progress=True).frames
    images = [Image.fromarray(frame.repeat(args.scale, 0).repeat(args.scale, 1)) for frame in frames]
    content = io.BytesIO()
    images[0].save(content, "gif", save_all=True, append_images=images[1:], duration=30, loop=0)
    write_atomically(args.file, content.getbuffer())
    print(f"{len(frames)} frames in {args.file}")


if __name__ == "__main__":
    main()
