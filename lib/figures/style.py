"""One look for all notebooks, and one colour per model family."""

import matplotlib

from lib.figures import captions

# Okabe and Ito (2008): told apart by the colour-blind and, with the line styles below, in black-and-white print.
COLORS = {
    "RNN": "#E69F00",
    "LSTM": "#0072B2",
    "TCN": "#009E73",
    "MinGRU": "#CC79A7",
    "Transformer": "#D55E00",
    "ConvLSTM": "#0072B2",
    "U-Net": "#D55E00",
    "VAE": "#009E73",
    "GAN": "#CC79A7",
    "diffusion": "#56B4E9",
    "baseline": "#5F5F5F",
    "truth": "#000000",
}
CYCLE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#5F5F5F"]
DPI = 144  # of the stored pictures; browsers count 96 to the inch, so that laptops with fine screens have some to spare


def use_style():
    """Set matplotlib up for the workbook; called once by every notebook."""
    matplotlib.rcParams.update(
        {
            "figure.figsize": (7.0, 3.2),
            "figure.dpi": 72,
            "figure.max_open_warning": 0,  # the frames of a film are open all at once
            "savefig.dpi": DPI,
            "figure.constrained_layout.use": True,
            "axes.prop_cycle": matplotlib.cycler(color=CYCLE),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#E3E3E3",
            "grid.linewidth": 0.6,
            "axes.axisbelow": True,
            "axes.titlesize": 10.5,
            "axes.labelsize": 9.5,
            "xtick.labelsize": 8.5,
            "ytick.labelsize": 8.5,
            "legend.fontsize": 8.5,
            "legend.frameon": False,
            "lines.linewidth": 1.7,
            "lines.markersize": 5,
            "font.size": 9.5,
            "image.cmap": "viridis",
            "image.interpolation": "nearest",
        }
    )
    captions.number_anew()
