"""Draw docs/training_curve.png: AP50 by pictures seen: acfd-n on ImageNet features and from scratch, and acfd-s.

    python docs/draw_training_curve.py

The figures are those of the model cards: iCartoonFace val, one scale, float32 weights.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

PRETRAINED = ((9_776, 0.611), (44_432, 0.729), (59_200, 0.752), (80_000, 0.761), (120_000, 0.757), (158_400, 0.766))
LARGER = ((68_000, 0.776), (80_000, 0.780), (103_200, 0.809))
SCRATCH = ((178_000, 0.610), (197_000, 0.627), (285_000, 0.641), (428_000, 0.668), (514_000, 0.678), (561_000, 0.682))


def main() -> None:
    """Write the picture."""
    figure = Figure(figsize=(7, 4))
    axes = figure.subplots()
    axes.plot(*zip(*PRETRAINED, strict=True), "o-", label="0.6.0 and 0.7.0: EfficientNet-Lite0, ImageNet weights")
    axes.plot(*zip(*LARGER, strict=True), "^-", label="acfd-s, 640 px: EfficientNet-Lite2, ImageNet weights")
    axes.plot(*zip(*SCRATCH, strict=True), "s--", label="0.5.0: VoVNetV3 at a quarter width, from scratch")
    axes.set(xlabel="augmented pictures seen", ylabel="AP50, iCartoonFace val", xlim=(0, 600_000), ylim=(0.55, 0.85))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:.0f} k")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(Path(__file__).parent / "training_curve.png", dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
