"""Configs: files that stand on others, variants, and what each row of the ablation changes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from acfd_stream.errors import ConfigError
from acfd_stream.model.resnet import ResNetConfig
from acfd_stream.model.settings import DistillConfig, ScheduleConfig, TrainConfig
from acfd_stream.model.vovnet import BackboneConfig

CONFIGS = Path(__file__).parents[2] / "model/configs"
DATA = '[[data]]\nkind = "drawn"\ncount = 1\nweight = 1.0\n'


def written(folder: Path, **files: str) -> Path:
    """The last of the named files."""
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    return folder / f"{name}.toml"


def test_a_file_takes_over_what_it_does_not_say_itself(tmp_path: Path) -> None:
    base = 'name = "a"\nvalidation = "v"\n[loss]\nmargin = 0.1\nregression = 0.5\n' + DATA
    path = written(tmp_path, base=base, own='extends = "base.toml"\nname = "b"\n[loss]\nmargin = 0.3\n')
    config = TrainConfig.load(path)
    assert (config.name, config.loss.margin, config.loss.regression, len(config.data)) == ("b", 0.3, 0.5, 1)


def test_a_variant_is_laid_over_the_config_and_only_when_it_is_asked_for(tmp_path: Path) -> None:
    text = 'name = "a"\nvalidation = "v"\n' + DATA + "[variants.long.schedule]\nbatch = 64\n"
    path = written(tmp_path, own=text)
    assert TrainConfig.load(path).schedule.batch == 16
    assert TrainConfig.load(path, "long").schedule.batch == 64
    with pytest.raises(ConfigError, match="no variant 'short'; it has long"):
        TrainConfig.load(path, "short")


def test_a_table_that_is_replaced_leaves_no_key_behind(tmp_path: Path) -> None:
    base = 'name = "a"\nvalidation = "v"\n[network.backbone]\nkind = "resnet"\nwidth = 16\n' + DATA
    above = 'extends = "base.toml"\n[network]\nreplaces = ["backbone"]\n[network.backbone]\nkind = "vovnet"\n'
    assert TrainConfig.load(written(tmp_path, base=base, own=above)).network.backbone == BackboneConfig()


def test_a_circle_of_files_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, a='extends = "b.toml"\n', b='extends = "a.toml"\n')
    with pytest.raises(ConfigError, match="extends itself"):
        TrainConfig.load(path)
    with pytest.raises(ConfigError, match=r"c\.toml: cannot be read"):
        TrainConfig.load(written(tmp_path, d='extends = "c.toml"\n'))


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "lacks data, validation"), ('validation = "v"\ndata = []\nsize = 3\n', "no setting size"),
     ('validation = "v"\ndata = []\n[schedule]\nkind = "fast"\n', "one of steps, cosine, plateau, budget"),
     ('validation = "v"\ndata = []\n[schedule]\niterations = "x"\n', "iterations must be of type int, got 'x'"),
     ('validation = "v"\ndata = []\n[schedule]\nlearning_rate = -1\n', r"schedule\.learning_rate must be > 0"),
     ('validation = "v"\ndata = []\n[schedule]\nlearning_rate = nan\n', r"schedule\.learning_rate must be > 0"),
     ('validation = "v"\ndata = []\n[augment]\nmosaic = "x"\n', "mosaic must be of type float"),
     ('validation = "v"\ndata = []\n[loss]\nmargin = "x"\n', "margin must be of type float"),
     ('validation = "v"\nschedule = 3\ndata = []\n', r"schedule must be a table, headed \[schedule\], got 3"),
     ('validation = "v"\n[data]\nkind = "yolo"\n', r"data must be tables, each headed \[\[data\]\], got {"),
     ('validation = "v"\n[[data]]\nweight = "x"\n', "weight of data must be a number, got 'x'"),
     ('validation = 3\ndata = []\n', "validation must be a name or a table, got 3"),
     ('validation = "v"\ndata = []\n[network]\npyramid = "pan"\n', "abi-fpn, bifpn, fpn"),
     ('validation = "v"\ndata = []\n[network.backbone]\nkind = "vgg"\n', "vovnet, resnet")],
)  # fmt: skip
def test_a_bad_setting_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        TrainConfig.load(written(tmp_path, own='name = "a"\n' + text))


def test_a_schedule_and_a_teacher_check_themselves() -> None:
    for changes in ({"sizes": (100,)}, {"sizes": ()}, {"batch": 0}, {"minutes": 0.0}, {"optimizer": "adam"}):
        with pytest.raises(ConfigError, match=f"schedule.{next(iter(changes))}"):
            ScheduleConfig(**changes)
    with pytest.raises(ConfigError, match="a teacher and its config"):
        DistillConfig(teacher="last.pt")


@pytest.mark.parametrize("variant", [None, "full"])
def test_each_row_of_the_ablation_changes_one_thing(variant: str | None) -> None:
    rows = [TrainConfig.load(CONFIGS / f"ablation/{name}.toml", variant)
            for name in ("baseline", "dam", "vovnet", "abifpn", "mbc")]  # fmt: skip
    values = [{**vars(row), **{f"network.{key}": part for key, part in vars(row.network).items()}} for row in rows]
    changed = [
        {key for key in after if after[key] != before[key]} - {"name", "network"} for before, after in pairwise(values)
    ]
    assert changed == [{"match"}, {"network.backbone"}, {"network.pyramid"}, {"loss"}]
    assert isinstance(rows[0].network.backbone, ResNetConfig)
    assert rows[0].network.pyramid == "fpn"
    assert (rows[0].match.second_iou > 1, rows[0].loss.margin) == (True, 0)


def test_the_last_row_of_the_ablation_is_the_small_vovnet_and_in_full_the_papers() -> None:
    small, full = (TrainConfig.load(CONFIGS / "ablation/mbc.toml", variant) for variant in (None, "full"))
    assert small.network == TrainConfig.load(CONFIGS / "acfd-n-vovnet.toml").network
    assert full.network == TrainConfig.load(CONFIGS / "acfd-51.toml").network
    assert (full.schedule.kind, full.schedule.learning_rate, full.schedule.batch) == ("steps", 0.04, 64)
