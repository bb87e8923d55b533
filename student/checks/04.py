"""Checks of X1 and X2: one-hot files, and three models of the next character."""

import torch

from lib.workbook.student.checking import close, expect, expect_shape, part, shape

# --- X1 -------------------------------------------------------------------------------------------------------------

FILES = """
def _one_hot(character, alphabet):
    import numpy, torch
    try:
        vector = char_to_one_hot(character, alphabet)
    except Exception as error:
        return type(error).__name__
    known = isinstance(vector, numpy.ndarray) and str(vector.dtype) in ("float32", "float64", "int64", "bool")
    return torch.from_numpy(vector) if known else f"<{getattr(vector, 'dtype', type(vector).__name__)}>"


def _files(texts, options):
    import pathlib, tempfile, numpy, torch
    with tempfile.TemporaryDirectory() as folder:
        source, target, found = pathlib.Path(folder, "text.txt"), pathlib.Path(folder, "out"), []
        for text in texts:
            source.write_bytes(text.encode())
            count = txt_to_numpy(str(source), target, progress=False, **options)
        for file in sorted(target.iterdir()):
            try:
                array = numpy.load(file)
            except Exception as error:
                found.append([file.name, f"<{type(error).__name__}>"])
                continue
            if array.dtype.kind == "U":
                found.append([file.name, array.tolist()])
            else:
                kept = str(array.dtype) in ("float32", "float64", "int64", "bool")
                found.append([file.name, torch.from_numpy(array) if kept else f"<{array.dtype}>"])
        return count, found
"""


def some_alphabet(student, size):
    """Distinct characters in no particular order."""
    signs = list("abcdefghijkLMNOPQ .,\n'é")
    return [signs[place] for place in torch.randperm(len(signs), generator=student.generator)[:size].tolist()]


@part("X1", 2, "char_to_one_hot")
def one_hot(student):
    student.prepare(FILES)
    for size in (student.pick(2, 4), student.pick(9, 14)):
        alphabet = some_alphabet(student, size)
        for place, character in enumerate(alphabet):
            given = f"the character {character!r} and the alphabet {alphabet}"
            vector = student.call("_one_hot", args=(character, alphabet))
            wrong = "a row or a column of a matrix" if shape(vector) in (f"(1, {size})", f"({size}, 1)") else ""
            wrong = wrong or "the width is that of the alphabet that is given: not one more or less, and no fixed one"
            expect(
                isinstance(vector, torch.Tensor) and vector.dtype == torch.float32,
                "a NumPy array of float32",
                given,
                str(getattr(vector, "dtype", vector)).removeprefix("torch.").strip("<>"),
                "NumPy's own type is float64: dtype=np.float32; a tensor or a list is no array",
            )
            expect_shape(vector, (size,), given, wrong)
            ones = vector.nonzero().flatten().tolist()
            mistake = "its place in the alphabet that is given, counted from 0"
            if ones == [sorted(alphabet).index(character)]:
                mistake = "the place in the sorted alphabet; that of the alphabet that is given is asked for"
            expect(
                ones == [place] and vector[place] == 1,
                f"a single 1, at place {place}",
                given,
                f"other than 0: {', '.join(f'{vector[one]:g} at place {one}' for one in ones) or 'nothing'}",
                mistake,
            )


@part("X1", 1, "what the alphabet lacks")
def unknown(student):
    student.prepare(FILES)
    alphabet = some_alphabet(student, 6)
    for character in ("ß", alphabet[0] + alphabet[1]):
        found = student.call("_one_hot", args=(character, alphabet))
        expect(
            found == "ValueError",
            "a ValueError",
            f"{character!r} and the alphabet {alphabet}",
            found if isinstance(found, str) and not found.startswith("<") else "an array",
            "what is not in the alphabet has no vector: raise ValueError instead of guessing",
        )


def samples_of(student, texts, options):
    """(count, {file: content}) of what txt_to_numpy makes of texts, one after the other into the same folder."""
    student.prepare(FILES)
    count, found = student.call("_files", args=(texts, options))
    return count, dict(found)


def some_text(student, length):
    """A text that begins with a space, ends with a line, and holds every character of its alphabet near its end."""
    alphabet = ["\n", " ", "A", "a", "b", "c", "é", "."]
    places = torch.randint(len(alphabet), (length,), generator=student.generator).tolist()
    return " " + "".join(alphabet[place] for place in places[9:]) + "".join(alphabet[::-1])


@part("X1", 2, "txt_to_numpy: the files")
def files(student):
    for length, options in ((student.pick(7, 12), None), (100, {})):
        text = some_text(student, 3 * length + length // 2)
        count, found = samples_of(student, [text], {"length": length} if options is None else options)
        given = f"a text of {len(text)} characters, length = {length}"
        wanted = ["alphabet.npy", "sample_0000.npy", "sample_0001.npy", "sample_0002.npy"]
        more = [name for name in found if name not in wanted]
        likely = "a rest that does not fill a sample is left out" if more == ["sample_0003.npy"] else ""
        likely = likely or "numbers from 0 with four digits: f'sample_{number:04d}.npy'"
        expect(sorted(found) == wanted, f"the files {', '.join(wanted)}", given, ", ".join(found) or "none", likely)
        expect(
            type(count) is int and count == 3, "the number of samples, 3, is returned", given, str(count).strip("<>")
        )


@part("X1", 2, "txt_to_numpy: what is in them")
def contents(student):
    length = student.pick(11, 15)
    text = some_text(student, 4 * length + 3)
    _, found = samples_of(student, [text], {"length": length})
    alphabet, given = found.get("alphabet.npy"), f"a text of {len(text)} characters, length = {length}"
    expect(
        isinstance(alphabet, list) and all(isinstance(one, str) for one in alphabet),
        "an array of characters in alphabet.npy",
        given,
        shape(alphabet),
        "np.save(…, np.array(alphabet)); objects, which np.load refuses, are no characters",
    )
    missing = set(text) - set(alphabet)
    expect(
        sorted(alphabet) == sorted(set(text)),
        f"each of the {len(set(text))} characters of the text once in the alphabet",
        given,
        f"{len(alphabet)} entries" + f", without {', '.join(map(repr, sorted(missing)))}" * bool(missing),
        "spaces and line ends are characters too; UTF-8 is read with encoding='utf-8'; upper case stays",
    )
    A, read = len(alphabet), []
    for number in range(len(text) // length):
        name = f"sample_{number:04d}.npy"
        expect(name in found, f"a file {name}", given, ", ".join(found), "numbers from 0 with four digits")
        sample = found[name]
        likely = "vectors as long as the alphabet"
        if shape(sample) == f"({A}, {length})":
            likely = "time comes first: one row for each character"
        elif number:
            likely = "all samples share the alphabet of the whole text"
        expect_shape(sample, (length, A), f"{name}, {given}", likely)
        expect(sample.dtype == torch.float32, "float32", name, str(sample.dtype).removeprefix("torch."))
        expect(
            (sample.sum(1) == 1).all() and (sample.amax(1) == 1).all(), "a single 1 in every row", name, "other rows"
        )
        read.append("".join(alphabet[place] for place in sample.argmax(1).tolist()))
    wanted = [text[start : start + length] for start in range(0, len(text) - length + 1, length)]
    likely = "the alphabet is stored in another order than that of the vectors"
    if "".join(read) in text.strip():
        likely = "the text is stripped"
    elif read[0] == wanted[0]:
        likely = "the samples overlap, or leave characters out: the next one begins where the last one ended"
    expect(read == wanted, "the text, read back from the samples", given, f"{read[:2]} for {wanted[:2]}", likely)


@part("X1", 1, "txt_to_numpy: once more into the same folder")
def again(student):
    length = student.pick(8, 12)
    texts = [some_text(student, 5 * length), some_text(student, 2 * length)]
    count, found = samples_of(student, texts, {"length": length})
    wanted = ["alphabet.npy", *(f"sample_{number:04d}.npy" for number in range(2))]
    given = f"a text of 5 samples, then one of 2 into the same folder, length = {length}"
    expect(count == 2 and set(wanted) <= set(found), "the two samples of the second text", given, ", ".join(found))
    expect(
        sorted(found) == wanted,
        "no samples of the first text beside them",
        given,
        ", ".join(found),
        "remove old samples whose numbers are not written again",
    )


# --- X2 -------------------------------------------------------------------------------------------------------------


def check_reading(student, network, A, T, given):
    """Shapes, logits, the same answer each time, each text by itself, and a gradient for every parameter."""
    for batch, time in ((3, T), (1, 1)):
        tokens = draw(student, A, batch, time)
        answer = network(tokens)
        expect(
            isinstance(answer, (tuple, list)) and len(answer) == 2,
            "the pair (logits, state)",
            f"tokens ({batch}, {time}), {given}",
            shape(answer),
            "the state after the last character is returned too",
        )
        expect(
            not (isinstance(answer[0], torch.Tensor) and answer[0].isnan().any()),
            "finite logits",
            f"tokens ({batch}, {time}), {given}",
            "nan",
            "a row of the mask that lets nothing through (off by one: the diagonal belongs to what is seen)",
        )
        expect_shape(answer[0], (batch, time, A), f"tokens ({batch}, {time}), {given}", "logits of every step")
    tokens = draw(student, A, 3, T)
    logits = network(tokens)[0]
    sums = [one.sum(2) for one in (logits, logits.exp())]
    expect(
        not any(close(one, torch.ones_like(one)) for one in sums),
        "logits, any real numbers",
        given,
        "values that add up to 1 (or their logarithms)",
        "the softmax belongs to the loss",
    )
    network(draw(student, A, 3, T))
    expect(
        close(network(tokens)[0], logits, 1e-5),
        "the same logits when the same text is given again without a state",
        given,
        "others",
        "the hidden state is kept from one call to the next; without a state every call starts anew",
    )
    expect(
        close(network(tokens[-1:])[0], logits[-1:]),
        "each text of a batch by itself",
        given,
        "other logits when it is given alone",
        "axes of batch and time exchanged: batch_first=True",
    )
    *_, parameters = network.gradients(tokens)
    dead = [name for name, value in parameters.items() if value is None]
    expect(not dead, "a gradient for every parameter", given, f"none for {', '.join(dead)}", "it is never used")


def draw(student, A, *size):
    """Random tokens."""
    return torch.randint(A, size, generator=student.generator)


def changed_at(tokens, place, A):
    """The same text with another character at one place."""
    other = tokens.clone()
    other[:, place] = (other[:, place] + 1) % A
    return other


def first_change(network, tokens, place, A):
    """The first step whose logits change when the character at `place` does; the number of steps if none does."""
    moved = (network(tokens)[0] - network(changed_at(tokens, place, A))[0]).abs().amax((0, 2))
    return int((torch.cat([moved, torch.ones(1)]) > 1e-5).nonzero()[0])


def check_causal(student, network, A, T, given, ahead):
    """No logits depend on a later character, and those of every step do on its own; `ahead`: why they may."""
    tokens = draw(student, A, 4, T)
    for place in (T // 2, T - 1, 1):
        first = first_change(network, tokens, place, A)
        likely = f"every step looks ahead: {ahead}"
        if first == place - 1:
            likely = "off by one: each step sees one character ahead, the very one that it has to predict"
        elif first == place + 1:
            likely = "off by one: each step sees the characters before its own, and not its own"
        elif first > place:
            likely = "the present character does not count"
        expect(
            first == place,
            f"character {place + 1} of {T} changes the logits from step {place + 1} on",
            given,
            f"from step {first + 1} on" if first < T else "no logits change",
            likely,
        )


def strange(state):
    """The type of what is no tensor, number, tuple, list or dict in a state; empty if there is nothing else."""
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, (tuple, list)) else []
    own = state[1:-1] if isinstance(state, str) and state.startswith("<") else ""
    return own or "".join(map(strange, parts))


def check_pieces(student, network, A, T, given, likely=""):
    """A text read in pieces, with the state, gives the logits of the same text read at once."""
    tokens, sizes = draw(student, A, 2, T), [3, 1, T - 8, 1, 3]
    whole, state, read = network(tokens)[0], None, []
    pieces = tokens.split(sizes, dim=1)
    for piece in pieces:
        logits, state = network(piece) if state is None else network(piece, state)
        read.append(logits)
        expect(not strange(state), "a state of tensors, numbers, tuples and lists", given, strange(state))
    anew = torch.cat([network(piece)[0] for piece in pieces], dim=1)
    ignored = close(torch.cat(read, dim=1), anew, 1e-5)
    expect(
        close(torch.cat(read, dim=1), whole),
        f"the logits of the whole text from its pieces of {', '.join(map(str, sizes))} characters",
        given,
        "those of texts that begin anew" if ignored else "others",
        "the hidden state that is given is not carried on" if ignored else likely,
    )


def reaches(student, network, A, T):
    """{steps back: whether the last logits depend on that character}."""
    tokens = draw(student, A, 6, T)
    last = network(tokens)[0][:, -1]
    moved = {back: network(changed_at(tokens, T - 1 - back, A))[0][:, -1] - last for back in range(T)}
    return {back: bool(change.abs().max() > 1e-5) for back, change in moved.items()}


def check_reach(student, network, A, reach, given, short, far):
    """The last logits depend on exactly the last `reach` characters; `short` or `far` is likely wrong if on others."""
    seen = reaches(student, network, A, reach + 4)
    blind, beyond = [b for b in range(reach) if not seen[b]], [b for b in range(reach, reach + 4) if seen[b]]
    found = f"no influence of the one {blind[0]} steps back" if blind else f"one of that {max(beyond, default=0)} back"
    expect(
        not blind and not beyond,
        f"logits that depend on each of the last {reach} characters, and on none before",
        given,
        found,
        short if blind else far,
    )


def lstm(student, layers=1):
    A, H = student.pick(5, 7), student.pick(8, 9)
    network = student.build("CharLSTM", A, hidden_size=H, num_layers=layers).randomise(0.5)
    return network, A, f"A = {A}, hidden_size = {H}, num_layers = {layers}"


@part("X2", 0.5, "CharLSTM: shapes, and no look ahead")
def lstm_reading(student):
    for layers in (1, 2):
        network, A, given = lstm(student, layers)
        check_reading(student, network, A, 7, given)
        check_causal(student, network, A, 6, given, "the LSTM reads in both directions")
    seen = reaches(student, network, A, 5)
    expect(all(seen.values()), "logits that depend on all characters so far", given, "not on all")


@part("X2", 0.5, "CharLSTM: the state")
def lstm_state(student):
    for layers in (1, 2):
        network, A, given = lstm(student, layers)
        check_pieces(student, network, A, 9, given)


def tcn(student, dilations=(1, 2, 4), kernel_size=2):
    A, H = student.pick(5, 7), student.pick(7, 9)
    options = {"dilations": dilations, "kernel_size": kernel_size}
    network = student.build("CharTCN", A, hidden_size=H, **options).randomise(0.5)
    return network, A, f"A = {A}, hidden_size = {H}, dilations = {dilations}, kernel_size = {kernel_size}"


@part("X2", 0.5, "CharTCN: shapes, and no look ahead")
def tcn_reading(student):
    for options in ({}, {"dilations": (1, 3), "kernel_size": 3}):
        network, A, given = tcn(student, **options)
        check_reading(student, network, A, 9, given)
        check_causal(student, network, A, 8, given, "the padding is at the back, and zeros belong in front")


FIELD = """
def _field(*args, **options):
    return CharTCN(*args, **options).receptive_field
"""


@part("X2", 0.5, "CharTCN: how far back it sees")
def tcn_reach(student):
    student.prepare(FIELD)
    for dilations, kernel_size in (((1, 2, 4), 2), ((1, 3), 3), ((2,), 2)):
        network, A, given = tcn(student, dilations, kernel_size)
        reach = 1 + (kernel_size - 1) * sum(dilations)
        field = student.call("_field", args=(A,), dilations=dilations, kernel_size=kernel_size)
        expect(
            field == reach,
            f"receptive_field = {reach}",
            given,
            str(field).strip("<>"),
            "1 + (kernel_size - 1) times the sum of the dilations; a property, so that it is read without a call",
        )
        if dilations == (2,):
            seen = reaches(student, network, A, 6)
            expect(
                [back for back in seen if seen[back]] == [0, 2],
                "one layer of dilation 2: the present character and the one two steps back",
                given,
                f"those {', '.join(str(back) for back in seen if seen[back])} steps back",
                "the dilation is the distance between taps",
            )
        else:
            check_reach(
                student,
                network,
                A,
                reach,
                given,
                "the dilation is ignored, or a layer is missing",
                "padding or dilation too large",
            )


@part("X2", 0.5, "CharTCN: the state")
def tcn_state(student):
    for options in ({}, {"dilations": (1, 3), "kernel_size": 3}):
        network, A, given = tcn(student, **options)
        check_pieces(
            student, network, A, 14, given, "each layer needs the last inputs of its own, as many as it reaches"
        )


def transformer(student, positions, layers=2, context=16):
    A, width = student.pick(5, 7), 8
    options = {"width": width, "num_layers": layers, "num_heads": 2, "ff_size": 12, "context": context}
    network = student.build("CharTransformer", A, positions=positions, **options).randomise(0.5)
    return (
        network,
        A,
        f"A = {A}, width = {width}, num_layers = {layers}, context = {context}, positions = {positions!r}",
    )


@part("X2", 0.5, "CharTransformer: shapes, and no look ahead")
def transformer_reading(student):
    for positions in ("none", "learned", "rotary"):
        for layers in (1, 2):
            network, A, given = transformer(student, positions, layers)
            check_reading(student, network, A, 9, given)
            check_causal(student, network, A, 8, given, "there is no causal mask")


@part("X2", 0.5, "CharTransformer: the context")
def transformer_context(student):
    for positions in ("none", "rotary"):
        context = student.pick(4, 5)
        network, A, given = transformer(student, positions, 1, context)
        short, far = (
            "the context counts the asking character itself",
            "every layer forgets what is older than the context",
        )
        check_reach(student, network, A, context, given, short, far)
        network, A, given = transformer(student, positions, 2, context)
        check_reach(student, network, A, 2 * (context - 1) + 1, given, "a layer is missing", far)


@part("X2", 0.5, "CharTransformer: positions")
def transformer_positions(student):
    for positions in ("none", "learned", "rotary"):
        network, A, given = transformer(student, positions, layers=1)
        tokens = torch.randperm(A, generator=student.generator)[None, :5]
        swapped = tokens[:, [1, 2, 0, 3, 4]]
        same = close(network(tokens)[0][:, -1], network(swapped)[0][:, -1], 1e-5)
        if positions == "none":
            expect(
                same,
                "one layer without positions sees a set: earlier characters may change places",
                given,
                "other logits",
                "positions although there should be none",
            )
        else:
            expect(
                not same,
                "other logits when earlier characters change places",
                given,
                "the same",
                "the positions are made and not used",
            )


@part("X2", 1, "CharTransformer: the state")
def transformer_state(student):
    restart = "the positions begin at 0 again with every piece: the state has to know how far the text is"
    for positions, context in (("none", 16), ("learned", 16), ("rotary", 16), ("rotary", 4), ("none", 4)):
        network, A, given = transformer(student, positions, context=context)
        window = "keys and values of the last context - 1 characters are needed, in every layer"
        likely = window if context == 4 or positions == "none" else restart
        check_pieces(student, network, A, 12, given, likely)
