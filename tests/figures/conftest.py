"""What the tests of figures share: the workbook's style, put back afterwards, and a figure to draw."""

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt

from lib import figures


@pytest.fixture
def style():
    with matplotlib.rc_context():
        figures.use_style()
        yield
        plt.close("all")


@pytest.fixture
def drawing(style):
    """Draws three random walks, the same for every seed."""

    def draw(seed=0):
        fig, ax = plt.subplots()
        ax.plot(np.random.default_rng(seed).standard_normal((50, 3)).cumsum(0))
        return fig

    return draw
