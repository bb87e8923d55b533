"""Architectures: modules that map tensors to tensors and know nothing of data, losses or training."""

from lib.models.convolutional import TCN, CausalTCN, Conv1d, PooledTCN
from lib.models.initialisation import chrono_bias, initialise
from lib.models.recurrent import LSTM, RNN, LSTMCell, RNNCell
from lib.models.scan import MinGRU, linear_scan
from lib.models.vanilla import VanillaLSTM, VanillaRNN

__all__ = [
    "LSTM",
    "RNN",
    "TCN",
    "CausalTCN",
    "Conv1d",
    "LSTMCell",
    "MinGRU",
    "PooledTCN",
    "RNNCell",
    "VanillaLSTM",
    "VanillaRNN",
    "chrono_bias",
    "initialise",
    "linear_scan",
]
