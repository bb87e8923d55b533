"""The little game: what repeats, what follows from the picture, what is random and with which probabilities."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageSequence

from lib.datasets import gameplay
from lib.datasets import gameplay_sprites as art
from lib.datasets.gameplay import ELEMENTS, GROUND, PERIOD, Action, Game, State, draw, policy_probabilities, record

LENGTH = 2 * PERIOD + 40


@pytest.fixture(scope="module")
def films():
    """Recordings of three seeds, long enough for every part of the level to come twice."""
    return [record(LENGTH, seed) for seed in range(3)]


def uncovered(*elements):
    """Mask of the pixels that belong to none but the background in all the given element maps."""
    return np.logical_and.reduce([map_ == ELEMENTS.index("background") for map_ in elements])


def play(actions, state=None):
    """The states that a game goes through, `state` included."""
    states = [state or State()]
    for action in actions:
        states.append(states[-1].after(action))
    return states


# --- recordings -----------------------------------------------------------------------------------------------------


def test_a_recording_has_the_documented_shapes_and_grey_levels(films):
    film = films[0]
    assert film.frames.shape == film.elements.shape == (LENGTH, 144, 160)
    assert film.frames.dtype == film.elements.dtype == np.uint8
    assert film.actions.shape == film.entropy.shape == (LENGTH,)
    assert film.actions.dtype == np.int64 and film.entropy.dtype == np.float64
    levels = np.unique(film.frames)
    assert 4 <= len(levels) <= 8 and set(levels) <= set(art.GREYS.values()) - {0}, f"grey levels {levels}"


@pytest.mark.parametrize("seed", [0, 7])
def test_the_seed_determines_a_recording(seed):
    first, second = record(120, seed), record(120, seed)
    for name in ("frames", "elements", "actions", "entropy"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), f"{name} differ between equal seeds"
    longer = record(150, seed)
    assert np.array_equal(longer.frames[:120], first.frames), "a longer recording must begin like a shorter one"


def test_a_lamp_announces_in_which_frames_the_enemies_glow(films):
    with_lamp, without = record(LENGTH, 0, lamp=True), films[0]
    lit = with_lamp.frames[:, *gameplay.LAMP].mean((1, 2)) > 128
    assert 0.4 < lit.mean() < 0.6, "the lamp is a fair coin"
    assert abs(np.corrcoef(lit[1:], lit[:-1])[0, 1]) < 0.15, "one frame's lamp says nothing about the next one's"
    enemies = without.masks["enemies"]
    for frame, before in enumerate(lit[:-1], 1):
        seen, usual = (film.frames[frame][enemies[frame]].astype(int) for film in (with_lamp, without))
        assert np.array_equal(seen, gameplay.LIGHT_AND_DARK - usual if before else usual), f"frame {frame}"
    unlike = with_lamp.frames != without.frames
    unlike[enemies] = False
    unlike[:, *gameplay.LAMP] = False
    assert not unlike.any() and np.array_equal(with_lamp.actions, without.actions), "nothing else is changed"


def test_the_masks_partition_every_pixel(films):
    masks = films[1].masks
    assert tuple(masks) == ELEMENTS and all(mask.dtype == bool for mask in masks.values())
    covered = sum(mask.astype(int) for mask in masks.values())
    assert (covered == 1).all(), "every pixel must belong to exactly one element"
    for name, mask in masks.items():
        assert mask.any(), f"{LENGTH} frames must show something of the {name}"


def test_a_recording_is_the_game_played_with_its_actions(films):
    film, game = films[2], Game(2)
    for t in range(200):
        assert np.array_equal(game.step(int(film.actions[t])), film.frames[t]), (
            f"frame {t} is not what action {t} led to"
        )
        assert np.array_equal(game.elements, film.elements[t])


# --- what repeats ---------------------------------------------------------------------------------------------------


def test_the_background_is_the_three_layers_shifted_by_their_speeds(films):
    layers, film = gameplay.layers(), films[0]
    assert sorted(layers) == [0, 1, 2] and layers[2].shape == (144, 2 * PERIOD)
    for t in range(0, LENGTH, 7):
        distance = t + 1  # frame t is drawn after step t + 1
        expected = np.zeros((144, 160), np.uint8)
        for speed in (0, 1, 2):
            seen = np.roll(layers[speed], -speed * distance, axis=1)[:, :160]
            expected = np.where(seen > 0, seen, expected)
        free = uncovered(film.elements[t])
        assert (film.frames[t] == expected)[free].all(), f"the background of frame {t} is not the shifted level"


def test_the_ground_moves_two_pixels_a_frame(films):
    for before, after in zip(films[1].frames[:400], films[1].frames[1:401], strict=True):
        assert np.array_equal(after[GROUND:, :-2], before[GROUND:, 2:])


def test_after_a_period_the_level_comes_again(films):
    assert 640 <= gameplay.SPEED * PERIOD <= 960
    for t in range(0, LENGTH - PERIOD, 11):
        free = uncovered(films[0].elements[t], films[0].elements[t + PERIOD])
        assert np.array_equal(films[0].frames[t][free], films[0].frames[t + PERIOD][free]), f"frame {t}"
    pictures = {gameplay.scenery(phase)[0].tobytes() for phase in range(PERIOD)}
    assert len(pictures) == PERIOD, "and not before: every phase has a picture of its own"


def test_seeds_share_scenery_and_enemies_but_not_player_and_spawns(films):
    first, second, _ = films
    fixed = [np.isin(film.elements, [0, 1]) for film in (first, second)]  # background and enemies, uncovered
    both = fixed[0] & fixed[1]
    assert both.mean() > 0.9
    assert np.array_equal(first.frames[both], second.frames[both]), "scenery and enemies must not depend on the seed"
    assert np.array_equal(first.elements[both], second.elements[both])
    for name in ("player", "spawns"):
        assert (first.masks[name] != second.masks[name]).any((1, 2)).mean() > 0.3, f"the {name} must differ"
    assert (first.actions != second.actions).any()


# --- what follows from the picture ----------------------------------------------------------------------------------


def test_two_frames_determine_the_next_frame_of_scenery_and_enemies():
    successors = {}
    for phase in range(PERIOD):
        pair = b"".join(gameplay.scenery((phase + step) % PERIOD)[0].tobytes() for step in (0, 1))
        following = gameplay.scenery((phase + 2) % PERIOD)[0].tobytes()
        assert successors.setdefault(pair, following) == following, f"the frames from phase {phase} have two successors"
    assert len(successors) == PERIOD


def test_enemies_move_steadily_and_turn_where_they_look():
    for phase in range(PERIOD):
        now, after = gameplay.enemies(phase), gameplay.enemies((phase + 1) % PERIOD)
        for (_, x, y), (_, x_after, y_after) in zip(now, after, strict=True):
            if x < 160 and x_after < 160:
                assert -3 <= x_after - x <= -1, f"at phase {phase} an enemy moves by {x_after - x} columns"
                assert abs(y_after - y) <= 7 and y_after + 9 <= GROUND
    assert {len(gameplay.enemies(phase)) for phase in range(PERIOD)} == {
        sum("".join(art.LEVEL).count(e) for e in "HBF")
    }


def read(frame):
    """The number that the display of a frame shows."""
    known = {digit.tobytes(): str(number) for number, digit in enumerate(art.DIGITS)}
    row, column = gameplay.SCORE_ROW, gameplay.SCORE_COLUMN
    return int("".join(known[frame[row : row + 8, column + 8 * i : column + 8 * i + 8].tobytes()] for i in range(5)))


def test_the_score_counts_every_frame(films):
    assert [read(frame) for frame in films[0].frames] == list(range(1, LENGTH + 1))
    last = films[0].masks["score"][0].nonzero()[1].max() - 7
    changes = (films[0].frames[1:, :16, last:] != films[0].frames[:-1, :16, last:]).any((1, 2))
    assert changes.all(), "copying the last frame must always miss the last digit"
    assert len({digit.tobytes() for digit in art.DIGITS}) == 10 and art.DIGITS[0].shape == (8, 8)


@pytest.mark.parametrize(("distance", "shown"), [(99_999, 99_999), (100_000, 0), (100_123, 123)])
def test_the_display_begins_again_after_its_last_number(distance, shown):
    assert read(draw(State(distance=distance))[0]) == shown


@pytest.mark.parametrize(("action", "peak", "frames"), [(Action.JUMP, 28, 15), (Action.HIGH_JUMP, 45, 19)])
def test_jumps_are_parabolas_of_two_heights(action, peak, frames):
    start = State(distance=PERIOD - 2)  # where nothing is in the way of the feet
    heights = [state.height for state in play([action] + [Action.NONE] * 22, start)]
    speed = gameplay.JUMPS[action]
    assert heights[: frames + 1] == [n * speed - n * (n - 1) // 2 for n in range(frames + 1)]
    assert max(heights) == peak and heights[frames:] == [0] * len(heights[frames:])


def test_in_flight_two_frames_determine_the_third(films):
    game, heights, flying = Game(0), [], []
    for action in films[0].actions:
        game.step(action)
        heights.append(game.state.height)
        flying.append(not game.state.on_ground)
    checked = 0
    for t in range(2, LENGTH):
        if flying[t - 2] and flying[t - 1] and flying[t]:
            checked += 1
            assert heights[t] == 2 * heights[t - 1] - heights[t - 2] - 1, f"frame {t} of a flight is not free fall"
    assert checked > 50


def test_the_player_lands_on_pipes_and_bricks(films):
    found = set()
    for seed, film in enumerate(films):
        game = Game(seed)
        for action in film.actions:
            game.step(action)
            if game.state.on_ground:
                found.add(game.state.height)
    assert found <= {0, 20, 44} and {0, 20} <= found, f"the player stood at the heights {sorted(found)}"


def test_in_the_air_no_action_has_an_effect_and_on_a_pipe_each_has(films):
    game, flights, stands = Game(0), 0, 0
    for action in films[0].actions:
        game.step(action)
        heights = [game.state.after(action).height for action in Action]
        if not game.state.on_ground:
            flights += 1
            assert len({game.state.after(action) for action in Action}) == 1
        elif game.state.height > 0:
            stands += 1
            assert np.subtract(heights, game.state.height).tolist() == [0, 7, 9, 0]
    assert flights > 50 and stands > 5


def test_every_action_shows_at_once():
    """Otherwise the entropy of an action would not be the uncertainty of the frame that it leads to."""
    pictures = [draw(State().after(action))[0].tobytes() for action in Action]
    assert len(set(pictures)) == len(Action)


def test_who_ducks_is_lower_and_stands_again_in_the_next_frame():
    _, ducked, standing = play([Action.DUCK, Action.NONE])
    heights = []
    for state in (ducked, standing):
        rows = np.nonzero(draw(state)[1] == ELEMENTS.index("player"))[0]
        heights.append(np.ptp(rows) + 1)
    assert ducked.ducked and not standing.ducked
    assert heights[0] <= 12 and heights[1] >= 18, f"ducked {heights[0]} and standing {heights[1]} pixels high"


def test_a_hit_makes_the_player_blink_and_the_game_goes_on():
    states = play([Action.NONE] * PERIOD)
    hit = next(t for t, state in enumerate(states) if state.blink)
    after = states[hit : hit + gameplay.BLINK + 1]
    assert [state.blink for state in after] == list(range(gameplay.BLINK, -1, -1)), "blinking must count down to 0"
    shown = [(draw(state)[1] == ELEMENTS.index("player")).any() for state in after]
    assert not shown[0] and shown[-1] and 0.3 < np.mean(shown) < 0.7, "while blinking the player comes and goes"
    assert [state.distance for state in states] == list(range(PERIOD + 1))


# --- what is random -------------------------------------------------------------------------------------------------


def test_the_probabilities_belong_to_the_actions_and_to_the_entropy(films):
    """Replays a recording: the policy's own probabilities must explain how often each action was taken."""
    expected, variance, taken, entropy = np.zeros(4), np.zeros(4), np.zeros(4), []
    for seed, film in enumerate(films):
        game = Game(seed)
        for action, bits in zip(film.actions, film.entropy, strict=True):
            p = policy_probabilities(game)
            assert p.shape == (4,) and (p >= 0).all() and p.sum() == pytest.approx(1)
            assert p[action] > 0, f"{Action(action).name} was taken with probability 0"
            assert bits == pytest.approx(-(p[p > 0] * np.log2(p[p > 0])).sum(), abs=1e-12)
            if not game.state.on_ground:
                assert p[Action.NONE] == 1, "in the air there is nothing to decide"
            expected, variance = expected + p, variance + p * (1 - p)
            taken[action] += 1
            entropy.append(bits)
            game.step(action)
    z = (taken - expected) / np.sqrt(variance)
    assert (np.abs(z) < 4).all(), f"expected {expected.round(1)}, taken {taken}: {z.round(1)} standard deviations"
    assert (taken > 0).all() and 0.05 < np.mean(entropy) < 0.5


@pytest.mark.parametrize(("p", "bits"), [([1, 0, 0, 0], 0), ([0.25] * 4, 2), ([0.5, 0.5], 1), ([0.9, 0.1], 0.4689956)])
def test_entropy_in_bits(p, bits):
    assert gameplay.entropy_bits(np.array(p)) == pytest.approx(bits)


def test_the_player_mostly_avoids_enemies(films):
    def hits(states):
        return sum(state.blink == gameplay.BLINK for state in states)

    careless = hits(play([Action.NONE] * LENGTH))
    played = [hits(play([Action(action) for action in film.actions])) for film in films]
    assert careless >= 8 and np.mean(played) < careless / 3, f"careless {careless} hits, with the policy {played}"


@pytest.mark.parametrize("action", list(Action))
def test_dangers_are_foreseen_exactly(action):
    for phase in range(0, PERIOD, 5):
        start = State(distance=phase)
        if not start.on_ground:
            continue
        later = Action.DUCK if action == Action.DUCK else Action.NONE
        states = play([action] + [later] * (gameplay.LOOKAHEAD - 1), start)[1:]
        hit = next((t for t, state in enumerate(states, 1) if state.blink), gameplay.LOOKAHEAD + 1)
        assert gameplay.frames_until_hit(start, action) == hit, f"at phase {phase}"


def test_spawns_appear_by_chance_and_then_move_steadily():
    game, born, frames = Game(3), {"bird": 0, "star": 0}, 6000
    for _ in range(frames):
        before = game.state.spawns
        game.state = replace(game.state, distance=0)  # the chances do not depend on it, and the picture is drawn faster
        game.step(Action.NONE)
        moved = [(kind, x + gameplay.SPAWN_SPEED[kind][0], y + gameplay.SPAWN_SPEED[kind][1]) for kind, x, y in before]
        new = [spawn for spawn in game.state.spawns if spawn not in moved]
        for kind, x, y in moved:
            assert (kind, x, y) in game.state.spawns or x <= -16 or y >= GROUND - 8, f"a {kind} vanished at {x}, {y}"
        for kind, _, _ in new:
            born[kind] += 1
    for kind, count in born.items():
        p = gameplay.SPAWN_CHANCE[kind]
        z = (count - frames * p) / math.sqrt(frames * p * (1 - p))
        assert abs(z) < 4, f"{count} times {kind} in {frames} frames is not a chance of {p:.4f} per frame"
    assert len(game.state.spawns) < 12, "what has left the screen must be forgotten"


def test_actions_do_not_change_what_appears():
    games = [Game(4), Game(4)]
    for t in range(300):
        games[0].step(Action.NONE)
        games[1].step(list(Action)[t % 4])
        assert games[0].state.spawns == games[1].state.spawns


def test_nothing_is_drawn_over_the_display(films):
    for film in films:
        inside = film.elements[:, :16]
        assert np.isin(inside, [0, ELEMENTS.index("score")]).all()


# --- drawings -------------------------------------------------------------------------------------------------------


def test_the_drawings_fit_together():
    assert {sprite.shape for sprite in (art.RUN_1, art.RUN_2, art.JUMP, art.DUCK)} == {(20, 16)}
    for poses in (art.HEDGEHOG, art.BAT, art.FROG, art.BIRD, art.STAR, art.EARTH):
        assert len(poses) == 2 and poses[0].shape == poses[1].shape and (poses[0] != poses[1]).any()
    assert len({len(line) for line in art.LEVEL}) == 1, "all lines of the level must be equally long"
    assert set("".join(art.LEVEL)) <= {".", *art.PLACED, *"HBF"}, "the level has a letter that stands for nothing"
    with pytest.raises(ValueError, match="equally long"):
        art.sprites("##  #\n##  ##")
    with pytest.raises(ValueError):
        art.sprites("##  #\n##")


@pytest.mark.parametrize(("column", "row"), [(-2, 1), (4, -1), (1, 3), (9, 9), (-9, 0)])
def test_sprites_are_cut_off_at_the_edges(column, row):
    picture, sprite = np.zeros((5, 6), np.uint8), art.sprites("#.x\no-_")[0]
    place, painted = gameplay.paste(picture, sprite, column, row)
    expected = np.zeros((25, 26), np.uint8)
    expected[10 + row : 12 + row, 10 + column : 13 + column] = sprite
    assert np.array_equal(picture, expected[10:15, 10:16])
    assert np.array_equal(picture[place] > 0, painted)


# --- errors and the command line ------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", [4, -1, "jump", None, 0.5])
def test_an_unknown_action_is_refused(action):
    game = Game()
    with pytest.raises(ValueError, match="0 NONE, 1 JUMP, 2 HIGH_JUMP, 3 DUCK"):
        game.step(action)
    assert game.state == State(), "and must not change the game"


@pytest.mark.parametrize("num_frames", [0, -3])
def test_a_recording_without_frames_is_refused(num_frames):
    with pytest.raises(ValueError, match=f"at least 1 frame, got num_frames = {num_frames}"):
        record(num_frames)


@pytest.mark.parametrize("seed", [-1, 1.5, "1", None])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(ValueError, match="seed must be a whole number"):
        Game(seed)
    with pytest.raises(ValueError, match="seed must be a whole number"):
        record(1, seed)


def test_the_command_line_writes_a_film(tmp_path, capsys):
    gameplay.main([str(tmp_path / "out.gif"), "--frames", "12", "--seed", "5", "--scale", "2"])
    assert "12 frames" in capsys.readouterr().out
    content = io.BytesIO((tmp_path / "out.gif").read_bytes())
    frames = [np.asarray(image.convert("L")) for image in ImageSequence.Iterator(Image.open(content))]
    expected = record(12, 5).frames
    assert len(frames) == 12 and frames[0].shape == (288, 320)
    assert all(np.array_equal(frame[::2, 1::2], picture) for frame, picture in zip(frames, expected, strict=True))


@pytest.mark.parametrize("arguments", [["x.mp3"], ["x.gif", "--frames", "0"], ["x.gif", "--seed", "-1"]])
def test_the_command_line_refuses_what_makes_no_sense(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        gameplay.main(arguments)
    assert "ends in .gif" in capsys.readouterr().err and not list(tmp_path.iterdir())
