"""Architectures: modules that map tensors to tensors and know nothing of data, losses or training."""

from lib.models.classifier import FactorClassifier
from lib.models.convlstm import ConvLSTM, ConvLSTMCell
from lib.models.convolutional import TCN, CausalTCN, Conv1d, PooledTCN
from lib.models.diffusion import NoisePredictor
from lib.models.forecasting import NextFrame, NoNetwork, Stencil
from lib.models.fourier import FourierOperator, SpectralConv2d
from lib.models.fused_lstm import FusedLSTM
from lib.models.gan import GAN, Discriminator, Generator
from lib.models.initialisation import chrono_bias, initialise
from lib.models.lru import LRU, LRULayer
from lib.models.padding import PaddedConv2d, pad
from lib.models.recurrent import LSTM, RNN, LSTMCell, RNNCell
from lib.models.scan import MinGRU, linear_scan
from lib.models.text import CharLSTM, CharTCN, CharTransformer
from lib.models.unet import ConvNeXtBlock, UNet
from lib.models.vae import VAE, ConvVAE
from lib.models.vanilla import VanillaLSTM, VanillaRNN
from lib.models.vit import AttentionBlock, PatchEmbedding, PredictiveViT, SelfAttentionLayer

__all__ = [
    "GAN",
    "LRU",
    "LSTM",
    "RNN",
    "TCN",
    "VAE",
    "AttentionBlock",
    "CausalTCN",
    "CharLSTM",
    "CharTCN",
    "CharTransformer",
    "Conv1d",
    "ConvLSTM",
    "ConvLSTMCell",
    "ConvNeXtBlock",
    "ConvVAE",
    "Discriminator",
    "FactorClassifier",
    "FourierOperator",
    "FusedLSTM",
    "Generator",
    "LRULayer",
    "LSTMCell",
    "MinGRU",
    "NextFrame",
    "NoNetwork",
    "NoisePredictor",
    "PaddedConv2d",
    "PatchEmbedding",
    "PooledTCN",
    "PredictiveViT",
    "RNNCell",
    "SelfAttentionLayer",
    "SpectralConv2d",
    "Stencil",
    "UNet",
    "VanillaLSTM",
    "VanillaRNN",
    "chrono_bias",
    "initialise",
    "linear_scan",
    "pad",
]
