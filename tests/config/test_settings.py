"""The configuration: faults are told by name before anything runs, and signatures know what a stage depends on."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest

from gancomp.config.loading import load, merge, parse
from gancomp.config.searching import budget_macs, parse_budget
from gancomp.config.settings import Config
from gancomp.config.training import Threshold
from gancomp.errors import GancompError
from gancomp.measure.macs import profile
from gancomp.pipeline.places import owner
from gancomp.pipeline.signatures import signature, stage_settings
from gancomp.pipeline.stages import STAGES, generator_spec, stages_of
from gancomp.spec import GeneratorSpec

ROOT = Path(__file__).parents[2]

PLAIN: dict[str, Any] = {
    "run": ["mine"],
    "datasets": {"pairs": {"source": "aligned", "path": "pairs", "size": 32}},
    "experiments": {
        "mine": {
            "dataset": "pairs",
            "original": {"widths": 8},
            "teacher": {"widths": 6},
            "distill": {"widths": 4},
            "supernet": {"space": [[4, 2]] * 8},
            "search": {"budget": "5x"},
        }
    },
}


def changed(**experiment: Any) -> Config:
    """PLAIN with some keys of its experiment changed."""
    return parse(merge(PLAIN, {"experiments": {"mine": experiment}}))


def derived(**experiment: Any) -> Config:
    """PLAIN with a second experiment, `other`, that overrides the first."""
    return parse(merge(PLAIN, {"experiments": {"other": {"base": "mine", **experiment}}}))


# --- what ships --------------------------------------------------------------------------------


def test_the_configuration_that_ships_is_valid() -> None:
    config = load([ROOT / "config.yaml"])
    assert config.run == ("fluent-quick",)
    assert {"fluent-quick", "emoji-quick", "emoji", "emoji-256"} <= config.experiments.keys()
    assert set(load([ROOT / "config.yaml", ROOT / "config" / "tiny.yaml"]).run) == {"tiny"}


def test_the_large_experiment_has_the_sizes_of_the_paper() -> None:
    config = load([ROOT / "config.yaml"])
    original, teacher, student = (
        generator_spec(config, "emoji-256", stage) for stage in ("original", "teacher", "distill")
    )
    assert original == GeneratorSpec(widths=64, block="dense", size=256)
    assert teacher == GeneratorSpec(widths=64, block="separable", size=256)
    assert student == GeneratorSpec(widths=48, block="separable", size=256)
    assert config.experiments["emoji-256"].supernet.subnets == 5_184


# --- choices by the names of widths ------------------------------------------------------------


def test_a_space_may_name_its_widths() -> None:
    """Those that are not named keep the student's."""
    named = changed(supernet={"space": {"trunk": [4, 2], "output": [3]}}).experiments["mine"]
    assert named.supernet
    assert named.supernet.space == ((4,), (4,), (4, 2), (4,), (4,), (4,), (4,), (3,))
    uneven = changed(distill={"widths": [4, 4, 4, 3, 3, 3, 4, 2]}, supernet={"space": {"stem": [4, 2]}})
    supernet = uneven.experiments["mine"].supernet
    assert supernet
    assert supernet.largest == (4, 4, 4, 3, 3, 3, 4, 2)


def test_names_stand_over_a_base_s_choices() -> None:
    config = parse(
        merge(
            PLAIN,
            {
                "experiments": {
                    "named": {"base": "mine", "supernet": {"space": {"stem": [4, 2]}}},
                    "more": {"base": "named", "supernet": {"space": {"up1": [4, 1]}}},
                }
            },
        )
    )
    supernet = config.experiments["more"].supernet
    assert supernet
    assert [len(choices) for choices in supernet.space] == [2, 1, 1, 1, 1, 1, 2, 1]


@pytest.mark.parametrize(
    ("experiment", "told"),
    [
        (
            {"supernet": {"space": {"trunck": [4]}}},
            r"supernet\.space\.trunck: no such width \(did you mean 'trunk'\?\)",
        ),
        ({"supernet": {"space": {"stem": [8]}}}, r"supernet\.space\[0\]: 8 is wider than the student's 4"),
        (
            {"generator": {"family": "module"}},
            "generator: network: is needed for family: module",
        ),
        ({"generator": {"builder": "a:b"}}, "builder: is a:b, but the network is built by no function"),
        ({"generator": {"family": "module", "network": "no.json"}}, r"no\.json: no such file; `gancomp groups BUILDER"),
    ],
)
def test_faults_of_names_and_networks(experiment: dict[str, Any], told: str) -> None:
    with pytest.raises(GancompError, match=told):
        changed(**experiment)


# --- faults ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"lamda_recon": 1}, r"experiments\.mine\.lamda_recon: unknown key"),
        ({"objective": {"lamda_recon": 1}}, r"objective\.lamda_recon: unknown key \(did you mean 'lambda_recon'\?\)"),
        ({"distil": {}}, r"mine\.distil: unknown key \(did you mean 'distill'\?\)"),
        ({"supernet": {"spcae": []}}, r"supernet\.spcae: unknown key \(did you mean 'space'\?\)"),
        ({"search": {"zzz": 1}}, r"search\.zzz: unknown key \(there are: at_least, bootstrap, .*, ties, winner\)"),
        ({"seed": -1}, r"mine\.seed: .*greater than or equal to 0, not -1"),
        ({"seed": 2**31}, r"mine\.seed: .*less than"),
        ({"teacher": {"lr": 0}}, r"teacher\.lr: .*greater than 0, not 0"),
        ({"teacher": {"lr": math.nan}}, r"teacher\.lr: .*not nan"),
        ({"teacher": {"batch": 0}}, r"teacher\.batch: .*greater than 0, not 0"),
        ({"teacher": {"epochs_const": 0, "epochs_decay": 0}}, r"mine\.teacher: .*must be more than 0"),
        ({"teacher": {"epochs_const": math.inf}}, r"teacher\.epochs_const: .*not inf"),
        ({"objective": {"gan": "wgan"}}, r"objective\.gan: .*'hinge' or 'lsgan', not 'wgan'"),
        ({"objective": {"lambda_distill": -1}}, r"objective\.lambda_distill: .*not -1"),
        ({"precision": "16"}, r"mine\.precision: .*'32'.*not '16'"),
        ({"generator": {"blocks": 2}}, r"generator\.blocks: .*greater than or equal to 3, not 2"),
        ({"generator": {"family": "vgg"}}, r"generator\.family: .*not 'vgg'"),
        ({"discriminator": {"layers": 7}}, r"discriminator\.layers: .*not 7"),
        ({"discriminator": {"layers": 4}}, r"mine\.discriminator\.layers: 4 layers leave no patch of 32x32 pictures"),
        ({"original": {"widths": "a_b"}}, r"original\.widths: widths 'a_b': expected integers joined by '_'"),
        ({"original": {"widths": "8_8"}}, r"mine\.original: a resnet generator has 8 widths, not 2"),
        ({"original": {"widths": 0}}, r"original\.widths\.0: .*greater than 0, not 0"),
        ({"original": 5}, r"mine\.original: .*not 5"),
        ({"search": {"shards": 0}}, r"search\.shards: .*not 0"),
        ({"search": {"images": "many"}}, r"search\.images: .*integer.*not 'many'"),
        ({"dataset": "pears"}, r"mine\.dataset: no data set 'pears' \(did you mean 'pairs'\?\)"),
        ({"supernet": {"space": [[4, 2]] * 7}}, r"mine\.supernet\.space: needs 8 lists of choices, not 7"),
        ({"supernet": {"space": [[4, 4]] * 8}}, r"supernet\.space: space\[0\]: needs distinct choices, not \[4, 4\]"),
        ({"supernet": {"space": [[4]] * 7 + [[]]}}, r"supernet\.space: space\[7\]: needs distinct choices, not \[\]"),
        ({"supernet": {"space": [[4]] * 7 + [[5]]}}, r"space\[7\]: 5 is wider than the student's 4"),
        ({"distill": {"widths": 7}}, r"mine\.distill\.widths: width 0 is 7, more than the teacher's 6"),
        ({"seeds": [0, 1, 1]}, r"mine\.seeds: .*names a seed twice"),
        ({"seeds": [0, 1], "seed": 1}, r"mine\.seed: 1 is not the first of seeds, 0"),
        (
            {"search": {"budget": "12x", "scored": "6x", "method": "halving"}},
            r"search\.scored: halving keeps the best of all that it scores",
        ),
        (
            {"search": {"budget": "12x", "at_least": "20x", "method": "evolution"}},
            r"search\.at_least: evolution keeps the best",
        ),
        ({"base": "nobody"}, r"mine\.base: no experiment 'nobody'"),
        ({"base": ""}, r"mine\.base: no experiment ''"),
        ({"base": ["mine"]}, r"mine\.base: no experiment \['mine'\]"),
        ({"base": "mine"}, r"mine\.base: mine → mine is circular"),
    ],
    ids=lambda value: None if isinstance(value, str) else next(iter(value)),
)
def test_a_fault_of_an_experiment_is_told_by_its_key(fault: dict[str, Any], told: str) -> None:
    with pytest.raises(GancompError, match=told):
        changed(**fault)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"experiment": {}}, r"^mine\.yaml: experiment: unknown key \(did you mean 'experiments'\?\)"),
        ({5: {}}, r"^mine\.yaml: 5: Keys should be strings"),
        ({"run": ["mime"]}, r"run: no experiment 'mime' \(did you mean 'mine'\?\)"),
        ({"run": "mine"}, r"run: .*not 'mine'"),
        ({"datasets": {"pairs": {"flop": True}}}, r"datasets\.pairs\.flop: unknown key \(did you mean 'flip'\?\)"),
        ({"datasets": {"pairs": {"source": "web"}}}, r"datasets\.pairs: .*'web'.*'openmoji', 'fluent'"),
        ({"datasets": {"aligned": {"source": "aligned"}}}, r"datasets\.aligned\.path: Field required"),
        ({"datasets": {"pairs": {"size": "8x8x8"}}}, r"datasets\.pairs\.size: .*at most 2 items"),
        ({"datasets": {"pairs": {"size": "tall"}}}, r"datasets\.pairs\.size: size 'tall': expected H or HxW"),
        ({"datasets": {"pairs": {"size": 34}}}, r"mine\.original: size 34x34: both sides must be multiples of 4"),
        ({"datasets": {"pairs": {"load_size": 30}}}, r"datasets\.pairs: load_size must be at least size"),
        ({"datasets": {"pairs": {"search_fraction": 1}}}, r"datasets\.pairs\.search_fraction: .*less than 1, not 1"),
        ({"datasets": {"inception": {"source": "openmoji"}}}, r"datasets\.inception: .*choose another name"),
        ({"experiments": {"mine": 5}}, r"experiments\.mine: .*not 5"),
        ({"experiments": 5}, r"experiments: .*not 5"),
        ({"experiments": {"new": {}}}, r"experiments\.new\.dataset: Field required"),
        ({"experiments": {5: {"base": "mine"}}}, r"experiments\.5"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(next(iter(value))),
)
def test_a_fault_anywhere_is_told_by_file_and_key(fault: dict[Any, Any], told: str) -> None:
    with pytest.raises(GancompError, match=told) as error:
        parse(merge(PLAIN, fault), "mine.yaml")
    assert str(error.value).startswith("mine.yaml: ")


LABELS: dict[str, Any] = {"source": "labels", "images": "photos", "labels": "maps", "names": ["sky", "sea"], "size": 64}
ALONE: dict[str, Any] = {"teacher": None, "distill": None, "supernet": None}


@pytest.mark.parametrize(
    ("dataset", "fault", "told"),
    [
        ({}, {"model": "cyclegan"}, r"mine\.dataset: cyclegan learns from unpaired, but 'pairs' has pairs"),
        ({"source": "folders", "a": "a", "b": "b"}, {}, r"mine\.dataset: pix2pix learns from pairs, .* has unpaired"),
        (LABELS, {"model": "gaugan"}, r"mine\.generator\.family: resnet does not work with gaugan"),
        ({}, {"generator": {"family": "spade"}}, r"mine\.generator\.family: spade does not work with pix2pix"),
        (
            {},
            {"generator": {"family": "unet", "downs": 4, "block": "dense"}},
            r"supernet\.space\[4\]: no layer of a unet of 4 downs has this width",
        ),
        ({}, {"teacher": None}, r"mine: a compression declares a teacher, and distill or supernet or both"),
        ({}, {"metric": "miou"}, r"mine\.metric: miou needs datasets\.pairs\.judge"),
        ({"judge": {"network": "small"}}, {}, r"datasets\.pairs: judge: this data set has no label maps"),
        (
            {"source": "folders", "a": "a", "b": "b"},
            {"model": "cyclegan", "metric": "l1"},
            r"mine\.metric: l1 needs a target for each picture, but the data are unpaired",
        ),
        (
            {"source": "folders", "a": "a", "b": "b"},
            {"model": "cyclegan", "metric": "ssim"},
            r"mine\.metric: ssim needs a target for each picture",
        ),
        ({}, {"metric": "fid_clean"}, r"mine\.metric: fid_clean needs .*fid_clean: true"),
        ({}, {"metric": "lpips"}, r"mine\.metric: lpips needs .*lpips: true"),
        ({}, {"metric": "cmmd"}, r"mine\.metric: cmmd needs experiments\.mine\.metric_weights\.cmmd, the folder"),
        (
            {},
            {"metric": "fd_dinov2", "metric_weights": {"cmmd": "clip"}},
            r"mine\.metric: fd_dinov2 needs experiments\.mine\.metric_weights\.fd_dinov2",
        ),
        ({}, {"metric_weights": {"cmmd": ""}}, r"mine\.metric_weights\.cmmd: .*at least 1 character"),
        (
            {"source": "folders", "a": "a", "b": "b"},
            {"model": "cyclegan", "metric": "dists", "metric_weights": {"dists": "dists"}},
            r"mine\.metric: dists needs a target for each picture",
        ),
        (
            {"source": "folders", "a": "a", "b": "b"},
            {
                "model": "cyclegan",
                "objective": {"gan": "lsgan", "distillation": "omgd", "omgd": {"teachers": "wide"}},
                "distill": {"epochs_const": 4, "epochs_decay": 6},
            },
            r"mine\.distill: the teacher's first turn .*teacher_epochs: 10\) takes all of its 10 epochs",
        ),
        ({}, {"teacher": {"block": "dense"}}, r"distill\.prune: the teacher is dense and the student separable"),
        (
            {},
            {"original": {"discriminator": "d.pth"}},
            r"original: discriminator: is set without checkpoint",
        ),
        (
            {},
            {"discriminator": {"layers": 3, "scales": 2}},
            r"discriminator\.layers: 3 layers at 2 scales leave no patch",
        ),
        ({"source": "earth", "task": "relief2photo", "size": 256}, {}, r"size: .* use at most 128"),
        (
            {"source": "earth", "task": "climate2photo", "direction": "BtoA"},
            {},
            r"direction: the label map is the input",
        ),
        (LABELS | {"direction": "BtoA"}, {}, r"direction: the label map is the input"),
    ],
)
def test_what_does_not_belong_together_is_told(dataset: dict[str, Any], fault: dict[str, Any], told: str) -> None:
    declared = copy.deepcopy(PLAIN)
    if "source" in dataset:
        declared["datasets"]["pairs"] = {"size": 32, **dataset}
    else:
        declared["datasets"]["pairs"] |= dataset
    with pytest.raises(GancompError, match=told):
        parse(merge(declared, {"experiments": {"mine": fault}}))


def test_an_original_alone_is_an_experiment() -> None:
    config = changed(**ALONE, generator={"family": "unet", "downs": 4})
    assert not config.experiments["mine"].compressed
    assert stages_of(config, "mine") == ("dataset", "statistics", "judge", "original")
    assert generator_spec(config, "mine", "original") == GeneratorSpec(family="unet", widths=8, size=32, downs=4)


def test_the_input_of_a_generator_is_what_the_data_set_holds() -> None:
    gray = parse(merge(PLAIN, {"datasets": {"pairs": {"channels": 1}}}))
    assert generator_spec(gray, "mine", "distill").in_channels == 1
    labels = merge(PLAIN, {"experiments": {"mine": {"model": "gaugan", **ALONE}}})
    labels["datasets"]["pairs"] = LABELS
    labels["experiments"]["mine"]["generator"] = {"family": "spade", "upsampling": "normal"}
    assert generator_spec(parse(labels), "mine", "original").in_channels == 2 + 1 + 1  # classes, unlabelled, edges


def test_an_imported_dense_teacher_takes_an_unpruned_student() -> None:
    config = changed(teacher={"block": "dense", "checkpoint": "model.pth"}, distill={"prune": False})
    assert generator_spec(config, "mine", "teacher").block == "dense"
    assert generator_spec(config, "mine", "distill").block == "separable"


#: Where a threshold finds the student's widths.
PRUNED: dict[str, Any] = {"generator": {"norm": "affine"}, "distill": {"prune": {"budget": "3x"}}, "supernet": None}


def test_the_student_of_a_threshold_is_known_only_as_a_part_of_its_teacher() -> None:
    config = changed(**PRUNED)
    declared = config.experiments["mine"]
    assert declared.threshold == Threshold(budget="3x", least=16, inherit=True)
    assert generator_spec(config, "mine", "distill") == generator_spec(config, "mine", "teacher")
    assert stages_of(config, "mine")[-1] == "distill"
    assert changed().experiments["mine"].threshold is None
    assert stage_settings(config, "mine", "distill")["settings"]["distill"]["prune"]["budget"] == "3x"


def test_a_threshold_takes_what_families_have_scales() -> None:
    for generator in ({"norm": "batch"}, {"norm": "affine", "block": "inception"}, {"family": "unet", "downs": 4}):
        block = {"block": "dense"} if "family" in generator else {}
        assert parse(merge(PLAIN, {"experiments": {"mine": PRUNED | {"generator": generator | block}}}))


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"generator": {"norm": "instance"}}, r"mine\.generator\.norm: instance has no scales .* set affine or batch"),
        ({"supernet": {"space": [[4]] * 8}}, r"mine\.supernet: searches among declared widths.*supernet: null"),
        ({"distill": {"prune": {"budget": "3"}}}, r"mine\.distill\.prune.*budget: .*expected a reduction such as 10x"),
        ({"distill": {"prune": {"most": 3}}}, r"mine\.distill\.prune.*most: unknown key"),
        ({"distill": {"prune": "threshold"}}, r"mine\.distill\.prune"),
        (
            {"objective": {"distillation": "omgd"}},
            r"mine\.objective\.omgd\.teachers: the deep one.* set wide or frozen",
        ),
    ],
    ids=str,
)
def test_what_a_threshold_cannot_prune_is_told(fault: dict[str, Any], told: str) -> None:
    with pytest.raises(GancompError, match=told) as caught:
        parse(merge(merge(PLAIN, {"experiments": {"mine": PRUNED}}), {"experiments": {"mine": fault}}))
    assert len(str(caught.value).splitlines()) == 1


def test_spade_has_no_scales_to_prune_by() -> None:
    labels = merge(PLAIN, {"experiments": {"mine": PRUNED | {"model": "gaugan"}}})
    labels["datasets"]["pairs"] = LABELS | {"size": 64}
    labels["experiments"]["mine"] |= {"generator": {"family": "spade", "upsampling": "normal"}}
    with pytest.raises(GancompError, match=r"mine\.distill\.prune: the norms of a spade generator have no scales"):
        parse(labels)


def test_an_openmoji_key_is_not_offered_for_an_aligned_folder() -> None:
    with pytest.raises(GancompError, match=r"limit: unknown key \(there are: channels, direction, fid_targets, flip"):
        parse(merge(PLAIN, {"datasets": {"pairs": {"limit": 5}}}))


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(GancompError) as error:
        changed(seed=-1, teacher={"lr": 2}, tilte="x")
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "a/b", "/etc", ".hidden", "-rf", "a b", "a\n", "a\nb", "a\x00", "a\\b", "é"),
        *("a;b", "$HOME", "`id`", "a'b", 'a"b', "a*", "{a}", "a|b", "a&b", "a>b", "~"),
    ],
)
@pytest.mark.parametrize("kind", ["experiments", "datasets"])
def test_names_cannot_leave_their_folder_nor_reach_a_shell(kind: str, name: str) -> None:
    data = copy.deepcopy(PLAIN)
    (own,) = data[kind].values()
    data[kind][name] = own
    with pytest.raises(GancompError, match="a name may contain letters, digits"):
        parse(data)


@pytest.mark.parametrize("name", ["a", "emoji-256", "My_pairs.v2", "2nd"])
def test_ordinary_names_are_fine(name: str) -> None:
    data = copy.deepcopy(PLAIN)
    data["experiments"][name] = data["experiments"]["mine"]
    data["datasets"][name] = data["datasets"]["pairs"]
    assert name in parse(data).experiments


# --- the budget --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("10x", ("reduction", 10)),
        ("9.5x", ("reduction", 9.5)),
        ("5.7G", ("macs", 5.7e9)),
        ("300M", ("macs", 3e8)),
        ("40k", ("macs", 4e4)),
        (" 10 x ", ("reduction", 10)),
    ],
)
def test_budgets(text: str, parsed: tuple[str, float]) -> None:
    assert parse_budget(text) == pytest.approx(parsed)


@pytest.mark.parametrize(
    "text", ["", "x", "10", "0x", "-1x", "10X", "1e9", "5.7 Gx", "5,7G", "infx", "nanG", ".5x", "10x10"]
)
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(GancompError, match=r"search\.budget: budget .*: expected a reduction such as 10x, or MACs"):
        changed(search={"budget": text})


def test_a_budget_in_macs_or_against_the_original() -> None:
    original = GeneratorSpec(widths=64)
    assert budget_macs("10x", original) == profile(original).macs / 10
    assert budget_macs("5.7G", original) == pytest.approx(5.7e9)


def test_a_budget_that_nothing_meets_is_refused_with_both_numbers() -> None:
    config = changed(search={"budget": "5x"})
    original, student = (generator_spec(config, "mine", stage) for stage in ("original", "distill"))
    least = profile(student.with_widths((2,) * 8)).macs
    most = profile(original).macs / least
    assert changed(search={"budget": f"{math.floor(most * 10) / 10}x"})
    with pytest.raises(GancompError, match=r"mine\.search\.budget: ") as error:
        changed(search={"budget": f"{math.ceil(most * 10 + 1) / 10}x"})
    limit = profile(original).macs / (math.ceil(most * 10 + 1) / 10)
    assert f"{least / 1e9:.3f}G" in str(error.value)
    assert f"{limit / 1e9:.3f}G" in str(error.value)
    assert "2_2_2_2_2_2_2_2" in str(error.value)


# --- bases -------------------------------------------------------------------------------------


def test_a_base_gives_what_is_not_overridden() -> None:
    config = parse(
        merge(
            PLAIN,
            {
                "experiments": {
                    "grandchild": {"base": "child", "teacher": {"lr": 0.5}, "supernet": {"space": [[3]] * 8}},
                    "child": {"base": "mine", "seed": 5, "teacher": {"batch": 7}},
                }
            },
        )
    )
    experiment = config.experiments["grandchild"]
    assert (experiment.seed, experiment.teacher.batch, experiment.teacher.lr) == (5, 7, 0.5)
    assert experiment.teacher.widths == config.experiments["mine"].teacher.widths == (6,)
    assert experiment.supernet.space == ((3,),) * 8  # lists replace
    assert experiment.base == "child"


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_circle_of_bases_is_told(length: int) -> None:
    names = [f"e{number}" for number in range(length)]
    circle = {name: {"base": names[(index + 1) % length]} for index, name in enumerate(names)}
    with pytest.raises(GancompError, match=r"e\d → e\d.* is circular"):
        parse(merge(PLAIN, {"experiments": circle}))


# --- signatures and owners ---------------------------------------------------------------------


CHAIN = ["teacher", "distill", "supernet", "scores", "search", "subnet", "finetune", "export"]


def downstream(stage: str) -> set[str]:
    """*stage* and all that is made from it; the narrow baseline is as large as the winner of the search."""
    return {*CHAIN[CHAIN.index(stage) :], "narrow", "scratch"}


def altered(config: Config) -> set[str]:
    """The stages whose signature is not that of PLAIN."""
    plain = parse(PLAIN)
    return {stage for stage in STAGES if signature(config, "mine", stage) != signature(plain, "mine", stage)}


EVERYTHING = set(STAGES)
MORE_OF_DATA: tuple[dict[str, Any], ...] = ({}, {"target_channels": 3}, {"target_channels": 1})
OF_THE_DATA = {"dataset", "statistics", "judge"}


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ({"seed": 1}, EVERYTHING - OF_THE_DATA),
        ({"precision": "32"}, EVERYTHING - OF_THE_DATA),
        ({"discriminator": {"ndf": 7}}, EVERYTHING - OF_THE_DATA),
        ({"objective": {"lambda_distill": 0}}, downstream("distill")),  # who has no teacher does not read it
        ({"objective": {"distillation": "fsp"}}, downstream("distill")),
        ({"generator": {"blocks": 6}}, EVERYTHING - OF_THE_DATA),
        ({"original": {"lr": 0.1}}, {"original"}),
        ({"original": {"widths": 9}}, {"original"} | downstream("scores")),  # the budget refers to it
        ({"teacher": {"lr": 0.1}}, downstream("teacher")),
        ({"distill": {"prune": False}}, downstream("distill")),
        ({"supernet": {"space": [[4, 3]] + [[4, 2]] * 7}}, downstream("supernet")),
        ({"search": {"budget": "4x"}}, downstream("scores")),
        ({"search": {"ties": "best"}}, downstream("search")),
        ({"search": {"images": 9}}, downstream("scores")),
        ({"finetune": {"lr": 0.1}}, {"finetune", "export"}),
        ({"narrow": {"lr": 0.1}}, {"narrow", "scratch"}),
        ({"search": {"shards": 9}}, set()),  # only who computes it
        ({"title": "x", "note": "y", "benchmark": {"runs": 3}}, set()),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else None,
)
def test_a_change_reaches_what_depends_on_it_and_nothing_else(change: dict[str, Any], stages: set[str]) -> None:
    assert altered(changed(**change)) == stages


def test_only_networks_with_batch_norm_know_how_calibration_is_drawn() -> None:
    """It came later: what was made without BatchNorm stands."""
    for norm, known in (("instance", False), ("batch", True)):
        config = changed(generator={"norm": norm})
        for stage in ("original", "supernet", "subnet", "scores"):
            calibration = stage_settings(config, "mine", stage)["settings"]["calibration"]
            assert calibration == {"images": 512, "batch": 16} | ({"version": 2} if known else {})


def test_what_a_checkpoint_is_told_by_is_in_its_signature_where_it_is_said() -> None:
    plain, keyed = ({"original": {"checkpoint": "net.pth"} | more} for more in ({}, {"key": "netG"}))
    settings = stage_settings(changed(**plain), "mine", "original")["settings"]["original"]
    assert not {"key", "statistics", "hidden"} & settings.keys()
    before, after = changed(**plain), changed(**keyed)
    assert {s for s in STAGES if signature(before, "mine", s) != signature(after, "mine", s)} == {"original"}
    with pytest.raises(GancompError, match=r"original: key: applies only to a checkpoint"):
        changed(original={"key": "netG"})
    with pytest.raises(GancompError, match=r"original: hidden: applies only to a checkpoint"):
        changed(original={"hidden": 128})


def test_hidden_channels_are_a_spade_checkpoints_and_students_have_their_own() -> None:
    with pytest.raises(GancompError, match=r"mine\.original: hidden: applies to spade generators"):
        changed(original={"checkpoint": "net.pth", "hidden": 128})
    spade = merge(
        PLAIN,
        {
            "experiments": {
                "mine": {
                    "model": "gaugan",
                    "generator": {"family": "spade", "upsampling": "normal"},
                    "teacher": {"checkpoint": "net.pth", "block": "separable", "hidden": 8},
                }
            }
        },
    )
    spade["datasets"]["pairs"] = LABELS
    specs = {stage: generator_spec(parse(spade), "mine", stage) for stage in ("original", "teacher", "distill")}
    assert {stage: spec.hidden for stage, spec in specs.items()} == {"original": None, "teacher": 8, "distill": None}
    spade["experiments"]["mine"]["teacher"]["hidden"] = 7
    with pytest.raises(
        GancompError, match=r"distill\.widths: 4 takes 8 hidden channels in a SPADE layer, more than .* 7"
    ):
        parse(spade)


def test_keys_of_a_data_set_that_came_later_change_no_signature_at_their_defaults() -> None:
    assert "target_channels" not in stage_settings(parse(PLAIN), "mine", "dataset")["settings"]["dataset"]
    plain, same, gray = (parse(merge(PLAIN, {"datasets": {"pairs": more}})) for more in MORE_OF_DATA)
    for stage in STAGES:
        assert signature(plain, "mine", stage) == signature(same, "mine", stage) != signature(gray, "mine", stage)
    assert generator_spec(gray, "mine", "original").out_channels == 1


def test_a_change_of_the_data_reaches_everything() -> None:
    assert altered(parse(merge(PLAIN, {"datasets": {"pairs": {"flip": False}}}))) == EVERYTHING


def test_another_judge_trains_no_generator_anew() -> None:
    plain = merge(
        PLAIN, {"experiments": {"mine": {"model": "gaugan", "teacher": None, "distill": None, "supernet": None}}}
    )
    plain["datasets"]["pairs"] = LABELS | {"judge": {"network": "small"}}
    plain["experiments"]["mine"]["generator"] = {"family": "spade", "upsampling": "normal"}
    before, after = parse(plain), parse(merge(plain, {"datasets": {"pairs": {"judge": {"epochs": 9}}}}))
    changed_stages = [
        s for s in stages_of(before, "mine") if signature(before, "mine", s) != signature(after, "mine", s)
    ]
    assert changed_stages == ["judge"]


def test_the_teacher_does_not_know_the_supernet() -> None:
    config = derived(supernet={"batch": 9})
    assert signature(config, "other", "teacher") == signature(config, "mine", "teacher")
    assert owner(config, "other", "teacher") == owner(config, "other", "distill") == "mine"
    for stage in downstream("supernet"):
        assert owner(config, "other", stage) == "other"


def test_a_signature_does_not_depend_on_how_it_is_written() -> None:
    assert altered(changed(original={"widths": [8] * 8}, supernet={"space": [[2, 4]] * 8})) <= {
        "original"  # one number and the same number eight times are two settings of this stage alone
    }
    renamed = copy.deepcopy(PLAIN)
    renamed["experiments"] = {"yours": PLAIN["experiments"]["mine"]}
    renamed["run"] = []
    assert all(signature(parse(renamed), "yours", stage) == signature(parse(PLAIN), "mine", stage) for stage in STAGES)


def test_the_base_owns_what_it_shares() -> None:
    config = derived(title="another name")
    assert {owner(config, "other", stage) for stage in STAGES} == {"mine"}
    assert {owner(config, "mine", stage) for stage in STAGES} == {"mine"}


def test_a_stage_that_comes_out_as_the_grandparents_is_the_grandparents() -> None:
    config = parse(
        merge(
            PLAIN,
            {
                "experiments": {
                    "child": {"base": "mine", "teacher": {"lr": 0.1}},
                    "grandchild": {"base": "child", "teacher": {"lr": 2e-4}},
                }
            },
        )
    )
    assert owner(config, "child", "teacher") == "child"
    assert owner(config, "grandchild", "teacher") == "mine"
    assert owner(config, "child", "original") == owner(config, "grandchild", "original") == "mine"


def test_strangers_share_nothing() -> None:
    data = copy.deepcopy(PLAIN)
    data["experiments"]["twin"] = data["experiments"]["mine"]
    assert owner(parse(data), "twin", "teacher") == "twin"


def test_settings_hold_what_lies_upstream() -> None:
    settings = stage_settings(parse(PLAIN), "mine", "distill")
    assert settings["stage"] == "distill"
    assert settings["settings"]["distill"]["widths"] == "4"
    assert set(settings["upstream"]) == {"dataset", "teacher"}
    assert settings["upstream"]["teacher"]["upstream"]["dataset"]["settings"]["dataset"]["size"] == "32x32"
