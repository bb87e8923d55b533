"""Answers to the items of notebooks 09 and 10: right ones that are built differently, and the classic mistakes."""

CONV_CELL_BY_GATES = """
from lib.models import PaddedConv2d

class ConvLSTMCell(nn.Module):
    def __init__(self, c_in, c_hidden, kernel_size=3, padding="zeros"):
        super().__init__()
        self.n = c_hidden
        one = lambda a: nn.ModuleList([PaddedConv2d(a, c_hidden, kernel_size, padding) for _ in range(4)])
        self.from_x, self.from_h = one(c_in), one(c_hidden)

    def forward(self, x, hc=None):
        if hc is None:
            hc = (torch.zeros(x.shape[0], self.n, x.shape[2], x.shape[3]),) * 2
        o, g, f, i = [a(x) + b(hc[0]) for a, b in zip(self.from_x, self.from_h)]
        c = i.sigmoid() * g.tanh() + hc[1] * f.sigmoid()
        return [c.tanh() * o.sigmoid(), c]
"""

CONV_CELL_BY_WINDOWS = """
from lib.models import pad

class ConvLSTMCell(nn.Module):
    def __init__(self, c_in, c_hidden, kernel_size=3, padding="zeros"):
        super().__init__()
        self.k, self.how, self.n = kernel_size, padding, c_hidden
        self.mix = nn.Linear((c_in + c_hidden) * kernel_size**2, 4 * c_hidden)

    def forward(self, image, state=None):
        B, _, H, W = image.shape
        h, c = state if state else [image.new_zeros(B, self.n, H, W) for _ in "hc"]
        wide = pad(torch.cat([h, image], 1), self.k // 2, self.how)
        a = self.mix(F.unfold(wide, self.k).transpose(1, 2)).transpose(1, 2).view(B, self.n, 4, H, W)
        share, content = torch.sigmoid(a[:, :, 1:]), torch.tanh(a[:, :, 0])
        c = share[:, :, 0] * c + share[:, :, 1] * content
        return share[:, :, 2] * torch.tanh(c), c
"""

CONV_LSTM = """
class ConvLSTM(nn.Module):
    context_size, stateful = 1, True

    def __init__(self, c_hidden=16, num_layers=1, kernel_size=3, padding="zeros", head="absolute", field_scale=1.0,
                 step_scale=1.0, output="linear"):
        super().__init__()
        self.head, self.output = head, output
        self.layers = nn.ModuleList()
        for number in range(num_layers):
            self.layers.append(ConvLSTMCell(c_hidden if number else 1, c_hidden, kernel_size, padding))
        self.last = PaddedConv2d(c_hidden, 1, 3, padding)
        self.register_buffer("field_scale", torch.tensor(float(field_scale)))
        self.register_buffer("step_scale", torch.tensor(float(step_scale)))

    def once(self, u, memory):
        states, old = memory
        x, new = u / self.field_scale, []
        for layer, state in zip(self.layers, states):
            new.append(layer(x, state))
            x = new[-1][0]
        out = self.last(x)
        out = self.step_scale * (out.relu() if self.output == "relu" else out)
        base = {"absolute": 0 * u, "change": u, "extrapolate": 2 * u - (u if old is None else old)}[self.head]
        return base + out, (new, u)

    def run(self, frames, horizon=0, state=None):
        memory, found = state or ([None] * len(self.layers), None), []
        for u in frames.split(1, dim=1):
            out, memory = self.once(u, memory)
            found.append(out)
        for _ in range(horizon):
            out, memory = self.once(found[-1], memory)
            found.append(out)
        return torch.cat(found, 1), memory

    def forward(self, frames, horizon=0):
        return self.run(frames, horizon)[0]
"""

BLOCK_BY_CONVOLUTIONS = """
from lib.models import PaddedConv2d, pad

class ConvNeXtBlock(nn.Module):
    def __init__(self, channels, kernel_size=7, padding="zeros", expansion=4, norm=True):
        super().__init__()
        self.one = PaddedConv2d(channels, channels, kernel_size, padding, groups=channels)
        self.two = nn.GroupNorm(1, channels) if False else nn.LayerNorm(channels) if norm else None
        self.three = nn.Conv2d(channels, channels * expansion, 1)
        self.four = nn.Conv2d(channels * expansion, channels, 1)
        self.gamma = nn.Parameter(0.1 * torch.ones(1, channels, 1, 1))

    def forward(self, x):
        h = self.one(x)
        if self.two is not None:
            h = self.two(h.movedim(1, -1)).movedim(-1, 1)
        return x + self.gamma * self.four(F.gelu(self.three(h)))
"""

BLOCK_BY_HAND = """
from lib.models import PaddedConv2d, pad

class ConvNeXtBlock(nn.Module):
    def __init__(self, C, kernel_size=7, padding="zeros", expansion=4, norm=True):
        super().__init__()
        self.depth = nn.Conv2d(C, C, kernel_size, groups=C)
        self.reach, self.how = kernel_size // 2, padding
        if norm:
            self.weight, self.bias = nn.Parameter(torch.ones(C)), nn.Parameter(torch.zeros(C))
        self.mlp = nn.Sequential(nn.Linear(C, expansion * C), nn.GELU(approximate="tanh"), nn.Linear(expansion * C, C))
        self.small = nn.Parameter(torch.full([C], 0.1))

    def forward(self, x):
        h = self.depth(pad(x, self.reach, self.how)).permute(0, 2, 3, 1)
        if hasattr(self, "weight"):
            h = h - h.mean(-1, keepdim=True)
            h = h / (h.square().mean(-1, keepdim=True) + 1e-5).sqrt() * self.weight + self.bias
        return (x.permute(0, 2, 3, 1) + self.mlp(h) * self.small).permute(0, 3, 1, 2)
"""

UNET_OF_UNETS = """
class Level(nn.Module):
    def __init__(self, c_list, factors, blocks, options):
        super().__init__()
        make = lambda: nn.Sequential(*[ConvNeXtBlock(c_list[0], **options) for _ in range(blocks[0])])
        self.before, self.inside = make(), None
        if factors:
            self.inside = Level(c_list[1:], factors[1:], blocks[1:], options)
            self.shrink = nn.Conv2d(c_list[0], c_list[1], factors[0], factors[0])
            self.grow = nn.ConvTranspose2d(c_list[1], c_list[0], factors[0], factors[0])
            self.join, self.after = nn.Conv2d(2 * c_list[0], c_list[0], 1), make()

    def forward(self, x):
        x = self.before(x)
        if self.inside is None:
            return x
        return self.after(self.join(torch.cat([self.grow(self.inside(self.shrink(x))), x], 1)))

class UNet(nn.Module):
    def __init__(self, c_in, c_out, c_list, spatial_factor_list, num_block_list, padding="zeros", kernel_size=7,
                 expansion=4, norm=True):
        super().__init__()
        options = dict(kernel_size=kernel_size, padding=padding, expansion=expansion, norm=norm)
        blocks = [*num_block_list, 0]  # without an entry for the bottom there are no blocks
        self.enter = nn.Conv2d(c_in, c_list[0], 1)
        self.u = Level(list(c_list), list(spatial_factor_list), blocks, options)
        self.leave = nn.Conv2d(c_list[0], c_out, 1)
        [nn.init.zeros_(p) for p in self.leave.parameters()]

    def forward(self, x):
        return self.leave(self.u(self.enter(x)))
"""

UNET_BY_SHUFFLING = """
class UNet(nn.Module):
    def __init__(self, c_in, c_out, c_list, spatial_factor_list, num_block_list, padding="zeros", kernel_size=7,
                 expansion=4, norm=True):
        super().__init__()
        def some(level):
            kind = (kernel_size, padding, expansion, norm)
            return nn.ModuleList(ConvNeXtBlock(c_list[level], *kind) for _ in range(num_block_list[level]))
        self.f, depth = spatial_factor_list, range(len(spatial_factor_list))
        self.enter = PaddedConv2d(c_in, c_list[0], 5, padding)
        self.left = nn.ModuleDict({str(i): some(i) for i in depth})
        self.right = nn.ModuleDict({str(i): some(i) for i in depth})
        self.middle = some(len(depth))
        self.narrow = nn.ModuleList(nn.Conv2d(c_list[i] * self.f[i] ** 2, c_list[i + 1], 1) for i in depth)
        self.widen = nn.ModuleList(nn.Conv2d(c_list[i + 1], c_list[i] * self.f[i] ** 2, 1) for i in depth)
        self.mix = nn.ModuleList(PaddedConv2d(2 * c_list[i], c_list[i], 3, padding) for i in depth)
        self.leave = PaddedConv2d(c_list[0], c_out, 3, padding)
        nn.init.zeros_(self.leave.weight), nn.init.zeros_(self.leave.bias)

    def forward(self, x):
        x, kept = self.enter(x), {}
        for i, f in enumerate(self.f):
            for block in self.left[str(i)]:
                x = block(x)
            kept[i] = x
            x = self.narrow[i](F.pixel_unshuffle(x, f))
        for block in self.middle:
            x = block(x)
        while kept:
            i, across = kept.popitem()
            x = self.mix[i](torch.cat((F.pixel_shuffle(self.widen[i](x), self.f[i]), across), dim=1))
            for block in self.right[str(i)]:
                x = block.forward(x)
        return self.leave(x)
"""

UNET_BY_POOLING = """
class UNet(nn.Module):
    def __init__(self, c_in, c_out, c_list, spatial_factor_list, num_block_list, padding="zeros", kernel_size=7,
                 expansion=4, norm=True):
        super().__init__()
        layers = lambda i: [ConvNeXtBlock(c_list[i], kernel_size, padding, expansion, norm) for _ in range(counts[i])]
        counts, n = [*num_block_list], len(spatial_factor_list)
        counts += [1] * (len(c_list) - len(counts))
        self.first = PaddedConv2d(c_in, c_list[0], 3, padding)
        self.downs = nn.ModuleList([nn.Sequential(*layers(i)) for i in range(n)])
        self.pools = nn.ModuleList(
            [nn.Sequential(nn.AvgPool2d(f), nn.Conv2d(a, b, 1))
             for f, a, b in zip(spatial_factor_list, c_list, c_list[1:])]
        )
        self.lowest = nn.Sequential(*layers(n))
        self.grows = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(b, a, 1), nn.Upsample(scale_factor=f, mode="bilinear"))
             for f, a, b in zip(spatial_factor_list[::-1], c_list[-2::-1], c_list[:0:-1])]
        )
        self.ups = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(2 * c_list[i], c_list[i], 1), *layers(i)) for i in range(n)][::-1]
        )
        self.last = nn.Conv2d(c_list[0], c_out, 3)
        self.last.weight.data.zero_(), self.last.bias.data.zero_()
        self.padding = padding

    def forward(self, x):
        stack = [self.first(x)]
        for down, pool in zip(self.downs, self.pools):
            stack[-1] = down(stack[-1])
            stack.append(pool(stack[-1]))
        x = self.lowest(stack.pop())
        for grow, up in zip(self.grows, self.ups):
            x = up(torch.cat([stack.pop(), grow(x)], 1))
        return self.last(pad(x, 1, self.padding))
"""

GIVEN = """
from lib.models.forecasting import HEADS

class NextFrame(nn.Module):
    stateful = False

    def __init__(self, network, context_size=1, head="absolute", field_scale=1.0, step_scale=1.0):
        super().__init__()
        self.network, self.context_size, self.head = network, context_size, head
        self.register_buffer("field_scale", torch.tensor(float(field_scale)))
        self.register_buffer("step_scale", torch.as_tensor(step_scale, dtype=torch.float32).reshape(-1, 1, 1))

    @property
    def bundle(self):
        return len(self.step_scale)

    def base(self, context):
        if self.head == "absolute":
            return 0.0
        last = context[:, -1:]
        if self.head == "change":
            return last
        steps = torch.arange(1, self.bundle + 1, device=context.device).view(-1, 1, 1)
        return last + steps * (last - context[:, -2:-1])

    def step(self, context):
        return self.base(context) + self.step_scale * self.network(context / self.field_scale)
"""

FORECASTS_BY_LISTS = (
    GIVEN
    + """
    def roll_out(self, context, num_frames):
        frames = list(context.unbind(1))
        while len(frames) < num_frames + self.context_size:
            frames += self.step(torch.stack(frames[-self.context_size :], 1)).unbind(1)
        return torch.stack(frames[self.context_size : self.context_size + num_frames], 1)

    def forward(self, frames, horizon=0):
        windows = [frames[:, t : t + self.context_size] for t in range(frames.shape[1] - self.context_size)]
        forced = [self.step(window)[:, 0] for window in windows]
        rest = self.roll_out(frames[:, frames.shape[1] - self.context_size :], horizon + 1)
        return torch.stack([*forced, *rest.unbind(1)], 1)
"""
)

FORECASTS_BY_RECURSION = (
    GIVEN
    + """
    def roll_out(self, context, num_frames):
        new = self.step(context)
        if new.shape[1] >= num_frames:
            return new[:, :num_frames]
        following = torch.cat([context, new], 1)[:, -context.shape[1] :]
        return torch.cat([new, self.roll_out(following, num_frames - new.shape[1])], 1)

    def forward(self, frames, horizon=0):
        if frames.shape[1] == self.context_size:
            return self.roll_out(frames, 1 + horizon)
        first = self.step(frames[:, : self.context_size])[:, :1]
        return torch.cat([first, self.forward(frames[:, 1:], horizon)], 1)
"""
)

RIGHT = {
    "W2": {
        "a convolution for every gate": CONV_CELL_BY_GATES + CONV_LSTM,
        "by windows, interleaved gates": CONV_CELL_BY_WINDOWS
        + CONV_LSTM.replace("PaddedConv2d(c_hidden, 1, 3, padding)", "nn.Conv2d(c_hidden, 1, 3, padding=1)"),
    },
    "U1": {
        "a U within a U": BLOCK_BY_CONVOLUTIONS + UNET_OF_UNETS,
        "by shuffling": BLOCK_BY_CONVOLUTIONS + UNET_BY_SHUFFLING,
        "by pooling, bilinear": BLOCK_BY_HAND + UNET_BY_POOLING,
    },
    "U3": {"by lists": FORECASTS_BY_LISTS, "by recursion": FORECASTS_BY_RECURSION},
}

CELL_RETURNS = "return torch.sigmoid(o) * torch.tanh(c), c"

# (item, what the mistake is, [(code of the solution, what is written instead)], a phrase of the message)
MISTAKES = [
    (
        "W2",
        "states swapped when returned",
        [(CELL_RETURNS, "return c, torch.sigmoid(o) * torch.tanh(c)")],
        "h and c are returned in the wrong order",
    ),
    (
        "W2",
        "states swapped when taken",
        [("h, c = state", "c, h = state")],
        "the state's two parts are taken in the wrong order",
    ),
    (
        "W2",
        "gates permuted",
        [
            (
                "torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)",
                "torch.tanh(f) * c + torch.sigmoid(i) * torch.sigmoid(g)",
            )
        ],
        "tanh instead of σ on the forget gate",
    ),
    ("W2", "σ for the candidate", [("torch.tanh(g)", "torch.sigmoid(g)")], "the candidate g needs tanh"),
    (
        "W2",
        "no bias",
        [("            self.gates.bias[c_hidden : 2 * c_hidden] = 1.0", "            self.gates.bias = None")],
        "the bias is missing",
    ),
    (
        "W2",
        "padding on one side",
        [
            (
                "self.gates = PaddedConv2d(c_in + c_hidden, 4 * c_hidden, kernel_size, padding)",
                "self.gates = nn.Sequential(nn.ZeroPad2d((kernel_size - 1, 0, kernel_size - 1, 0)), "
                "nn.Conv2d(c_in + c_hidden, 4 * c_hidden, kernel_size))",
            ),
            ("self.gates.bias[", "self.gates[1].bias["),
        ],
        "on one side only",
    ),
    (
        "W2",
        "zeros whatever padding is asked for",
        [("4 * c_hidden, kernel_size, padding)", "4 * c_hidden, kernel_size)")],
        "padding is not looked at",
    ),
    (
        "W2",
        "no padding",
        [
            (
                "self.gates = PaddedConv2d(c_in + c_hidden, 4 * c_hidden, kernel_size, padding)",
                "self.gates = nn.Conv2d(c_in + c_hidden, 4 * c_hidden, kernel_size)",
            ),
            (
                "torch.cat([x, h], dim=1)).chunk(4, dim=1)",
                "torch.cat([x, h], dim=1)).chunk(4, dim=1); c = c[..., : i.shape[2], : i.shape[3]]",
            ),
        ],
        "the padding: half a kernel on every side",
    ),
    (
        "W2",
        "the state is not reset",
        [
            (
                "states, before = state if state is not None else ([None] * len(self.cells), None)",
                "states, before = state or (getattr(self, 'old', [None] * len(self.cells)), None)\n"
                "        fits = states[0] is None or len(states[0][0]) == len(frames)\n"
                "        states = states if fits else [None] * len(self.cells)",
            ),
            (
                "            before = u\n",
                "            before = u\n        self.old = [tuple(one.detach() for one in pair) for pair in states]\n",
            ),
        ],
        "the hidden state is not reset",
    ),
    (
        "W2",
        "states swapped by the network",
        [
            (
                "states[number] = cell(x, states[number])",
                "states[number] = cell(x, states[number] and states[number][::-1])",
            )
        ],
        "h and c are swapped",
    ),
    ("W2", "c goes up", [("x = states[number][0]", "x = states[number][1]")], "a readout of c"),
    (
        "W2",
        "a roll-out that is fed the truth",
        [("else predictions[-1]", "else frames[:, -1:]")],
        "the roll-out is fed the last true frame again",
    ),
    (
        "W2",
        "no teacher forcing",
        [("u = frames[:, t : t + 1] if t < frames.shape[1] else", "u = frames[:, t : t + 1] if t < 2 else")],
        "predictions are fed back already while there are true frames",
    ),
    (
        "W2",
        "no gradient through time",
        [
            (
                "states[number] = cell(x, states[number])",
                "states[number] = cell(x, states[number] and tuple(s.detach() for s in states[number]))",
            )
        ],
        "is detached",
    ),
    (
        "W2",
        "scales that are not stored",
        [('self.register_buffer("field_scale", ', "self.field_scale = (")],
        "register_buffer",
    ),
    (
        "U1",
        "the input is not added",
        [("return x + (self.scale * h)", "return (self.scale * h)")],
        "the input is not added",
    ),
    ("U1", "a ReLU", [("F.gelu(", "F.relu(")], "a ReLU where the GELU belongs"),
    (
        "U1",
        "a full convolution",
        [("kernel_size, padding, groups=channels)", "kernel_size, padding)")],
        "each channel has a kernel of its own",
    ),
    (
        "U1",
        "the LayerNorm over the picture",
        [
            (
                "self.project(F.gelu(self.expand(self.norm(h))))",
                "self.project(F.gelu(self.expand(self.over_space(h))))",
            ),
            (
                '    def forward(self, x: Tensor) -> Tensor:\n        """(B, C, H, W) -> (B, C',
                "    def over_space(self, h):\n"
                "        h = F.layer_norm(h, h.shape[1:])\n"
                "        return h * self.norm.weight + self.norm.bias if hasattr(self.norm, 'weight') else h\n\n"
                '    def forward(self, x: Tensor) -> Tensor:\n        """(B, C, H, W) -> (B, C',
            ),
        ],
        "the LayerNorm is taken over the picture too",
    ),
    (
        "U1",
        "a skip connection from the wrong level",
        [
            (
                "across = torch.cat([skips[level], self.up[level](x)], dim=1)",
                "grown = self.up[level](x)\n"
                "            wide = skips[0].repeat(1, 9, 1, 1)[:, : grown.shape[1]]\n"
                "            old = F.interpolate(wide, size=grown.shape[2:])\n"
                "            across = torch.cat([old, grown], dim=1)",
            ),
        ],
        "skip connections from the wrong level",
    ),
    (
        "U1",
        "the deepest skip connection everywhere",
        [
            (
                "across = torch.cat([skips[level], self.up[level](x)], dim=1)",
                "grown = self.up[level](x)\n"
                "            wide = skips[-1].repeat(1, 9, 1, 1)[:, : grown.shape[1]]\n"
                "            old = F.interpolate(wide, size=grown.shape[2:])\n"
                "            across = torch.cat([old, grown], dim=1)",
            ),
        ],
        "comes from the wrong level",
    ),
    (
        "U1",
        "no skip connection",
        [("torch.cat([skips[level], self.up[level](x)], dim=1)", "torch.cat([self.up[level](x)] * 2, dim=1)")],
        "the skip connection is missing",
    ),
    (
        "U1",
        "skip connections from before the blocks",
        [
            (
                "            skips.append(blocks(x))\n            x = down(skips[-1])",
                "            skips.append(x)\n            x = down(blocks(x))",
            )
        ],
        "from before the blocks",
    ),
    (
        "U1",
        "a picture that is turned",
        [("torch.cat([skips[level], self", "torch.cat([skips[level].flip(3), self")],
        "resized or turned",
    ),
    (
        "U1",
        "no blocks on the way up",
        [("x = self.decoder[level](self.merge[level](across))", "x = self.merge[level](across)")],
        "the way up has no blocks",
    ),
    ("U1", "a plain list", [("self.up = nn.ModuleList(", "self.up = list(")], "a plain list"),
    (
        "U1",
        "a last layer that starts at random",
        [("nn.init.zeros_(self.head.weight)", "pass")],
        "starts at zero",
    ),
    ("U1", "options that do not arrive", [('"expansion": expansion, ', "")], "expansion does not arrive"),
    ("U1", "padding that does not arrive", [('"padding": padding, ', "")], "padding does not arrive"),
    (
        "U3",
        "frames joined along the wrong axis",
        [("torch.cat([context, parts[-1]], dim=1)[:, -self.context_size :]", "torch.cat([context, parts[-1]], dim=2)")],
        "joined along another axis than that of time",
    ),
    (
        "U3",
        "frames joined along the batch",
        [("return torch.cat(parts, dim=1)[:, :num_frames]", "return torch.cat(parts, dim=0)[:, :num_frames]")],
        "joined along another axis than that of time",
    ),
    (
        "U3",
        "a context that stays",
        [("context = torch.cat([context, parts[-1]], dim=1)[:, -self.context_size :]", "pass")],
        "the predictions are not fed back",
    ),
    (
        "U3",
        "new frames in front",
        [
            (
                "torch.cat([context, parts[-1]], dim=1)[:, -self.context_size :]",
                "torch.cat([parts[-1], context], dim=1)[:, : self.context_size]",
            ),
        ],
        "new frames are put in front",
    ),
    (
        "U3",
        "the wrong end is dropped",
        [("dim=1)[:, -self.context_size :]\n        return", "dim=1)[:, : self.context_size]\n        return")],
        "the predictions are not fed back",
    ),
    (
        "U3",
        "no gradient through the roll-out",
        [("torch.cat([context, parts[-1]], dim=1)", "torch.cat([context, parts[-1].detach()], dim=1)")],
        "detached before they are fed back",
    ),
    (
        "U3",
        "no teacher forcing",
        [
            (
                "closed = self.roll_out(frames[:, -self.context_size :], 1 + horizon)",
                "count = frames.shape[1] - self.context_size + 1 + horizon\n"
                "        return self.roll_out(frames[:, : self.context_size], count)",
            ),
        ],
        "predictions are fed back from the start",
    ),
    (
        "U3",
        "a roll-out that is fed the truth",
        [
            (
                "closed = self.roll_out(frames[:, -self.context_size :], 1 + horizon)",
                "closed = self.step(frames[:, -self.context_size :])[:, :1].repeat(1, 1 + horizon, 1, 1)",
            ),
        ],
        "the roll-out is fed the truth again",
    ),
    (
        "U3",
        "windows of the wrong frames",
        [("[:, :-1].movedim(-1, 2)", "[:, 1:].movedim(-1, 2)")],
        "a window of the wrong frames",
    ),
]
