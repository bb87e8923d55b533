"""The values that a notebook is run with."""

from lib.workbook import notebooks


def test_profile_then_retrain_then_by_hand(folder):
    path = folder / "02_works.ipynb"
    assert notebooks.parameters(path, "cpu") == {}
    assert notebooks.parameters(path, "smoke") == {"steps": 1}
    assert notebooks.parameters(path, "gpu", "all") == {"retrain": "all"}
    assert notebooks.parameters(path, "smoke", "1", ["steps=9", " rate = 1e-3", "text=a: b"]) == {
        "steps": 9,
        "retrain": True,
        "rate": "1e-3",  # YAML wants 1.0e-3
        "text": {"a": "b"},
    }
