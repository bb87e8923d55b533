"""The message for a size or an input of the wrong kind names what is wrong and what to do."""

import inspect

import pytest
import torch

from lib import models
from lib.models import scan, text
from lib.models.checks import check_sequence, check_sizes

# Every model with whole numbers among its arguments, and arguments with which it can be built.
BUILDABLE = {
    models.AttentionBlock: (8, 2),
    models.CausalTCN: (4, 5, 3, 2),
    models.CharLSTM: (7,),
    models.CharTCN: (7,),
    models.CharTransformer: (7,),
    models.Conv1d: (4, 5),
    models.ConvLSTM: (),
    models.ConvLSTMCell: (1, 2),
    models.ConvNeXtBlock: (4,),
    models.ConvVAE: (),
    models.Discriminator: (4, 3, 16),
    models.FactorClassifier: ({"petals": 2},),
    models.Generator: (4, 4, 3, 16),
    models.LSTM: (4, 5, 3),
    models.LSTMCell: (4, 5),
    models.LRU: (4, 5, 3),
    models.LRULayer: (4, 5),
    models.MinGRU: (4, 5, 3),
    models.NoisePredictor: (),
    models.PaddedConv2d: (1, 1, 3),
    models.PatchEmbedding: (16, 16, 4, 8),
    models.PooledTCN: (4, 5, 3),
    models.PredictiveViT: (),
    models.RNN: (4, 5, 3),
    models.RNNCell: (4, 5),
    models.SelfAttentionLayer: (8, 2),
    models.SpectralConv2d: (4, 3),
    models.TCN: (4, 5, 3, 9),
    models.UNet: (1, 1, [4, 8], [2], [1, 1]),
    models.VAE: (),
    models.VanillaLSTM: (4, 5, 3),
    models.FusedLSTM: (4, 5, 3),
    models.VanillaRNN: (4, 5, 3),
    scan.MinGRULayer: (4, 5),
    text.CausalEmbedding: (7, 4, 1),
    text.CausalLayer: (4, 2, 1),
    text.SelfAttention: (8, 2, 4),
    text.TransformerBlock: (8, 2, 16, 4, False),
}
NOT_BUILT_OF_SIZES = {models.GAN, models.NextFrame, models.NoNetwork, models.Stencil}
NOT_BUILT_OF_SIZES |= {models.FourierOperator}  # its first layers check; see tests/models/test_fourier.py


def test_no_model_is_forgotten():
    kinds = {kind for kind in map(models.__dict__.get, models.__all__) if inspect.isclass(kind)}
    assert kinds <= {*BUILDABLE, *NOT_BUILT_OF_SIZES}


@pytest.mark.filterwarnings("error")  # torch builds an empty layer, and warns
@pytest.mark.parametrize("kind", BUILDABLE, ids=lambda kind: kind.__name__)
def test_no_model_is_built_of_impossible_sizes(kind):
    given = inspect.signature(kind).bind(*BUILDABLE[kind])
    given.apply_defaults()
    kind(**given.arguments)
    for name, value in given.arguments.items():
        for wrong in (0, -4, 2.5, "8", None) if type(value) is int else ():
            if wrong == 0 and (kind, name) == (models.CausalTCN, "num_layers"):
                continue  # it then sees the last step alone
            with pytest.raises(ValueError, match=f"{name} must be a whole number of at least [012], got {wrong!r}"):
                kind(**given.arguments | {name: wrong})


def test_lists_of_sizes():
    check_sizes(widths=[1, 2], factors=())
    check_sizes(smallest=0, blocks=[0, 3])
    for widths in ([1, 0], (2.0,)):
        with pytest.raises(ValueError, match="widths must be a whole number of at least 1, got"):
            check_sizes(widths=widths)


@pytest.mark.parametrize("x", [torch.zeros(2, 5, 3), torch.zeros(1, 1, 3, dtype=torch.float64), torch.zeros(0, 5, 3)])
def test_sequences_of_the_right_kind_pass(x):
    check_sequence(x, 3)
    check_sequence(x.transpose(1, 2), 3, "(B, C, T)")


@pytest.mark.parametrize(
    ("x", "layout", "message"),
    [
        (torch.zeros(5, 3), "(B, T, I)", r"three axes \(B, T, I\), but its shape is \(5, 3\): use x.unsqueeze\(0\)"),
        (torch.zeros(2, 5, 4), "(B, T, I)", r"4 features on axis 2 of \(B, T, I\), but the model was built for 3"),
        (torch.zeros(2, 5, 3), "(B, C, T)", r"5 features on axis 1 of \(B, C, T\), but the model was built for 3"),
        (torch.zeros(2, 0, 3), "(B, T, I)", "no time steps: give at least one"),
    ],
)
def test_other_shapes_are_refused(x, layout, message):
    with pytest.raises(ValueError, match=message):
        check_sequence(x, 3, layout)


def test_whole_numbers_are_refused():
    with pytest.raises(TypeError, match="but is torch.int64: encode symbols one-hot"):
        check_sequence(torch.zeros(2, 5, 3, dtype=torch.long), 3)
