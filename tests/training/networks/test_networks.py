"""Networks have the published sizes and layouts, give the promised maps, and load weight files safely."""

import pickle

import pytest
import torch
from torch import nn

from fitlib.errors import InputError
from fitlib.experiment.training_options import Training
from fitlib.training.loop import Generators, make_method
from fitlib.training.networks.mlp import MLP
from fitlib.training.networks.nifr_classifier import NifrClassifier
from fitlib.training.networks.resnet import CifarResNet18, ResNet18, ResNet50
from tests.support.method_examples import make_network, table

SMALL = (3, 32, 32)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("network", "shape", "outputs", "count"),
    [
        (CifarResNet18, (3, 32, 32), 10, 11_173_962),
        (ResNet18, (3, 224, 224), 1000, 11_689_512),
        (ResNet50, (3, 224, 224), 1000, 25_557_032),
    ],
)
def test_parameter_counts_are_the_published_ones(network, shape, outputs, count):
    assert parameters(make_network(network, shape, outputs)) == count


@pytest.mark.parametrize(("network", "tensors", "weights"), [(ResNet18, 122, 62), (ResNet50, 320, 161)])
def test_names_and_shapes_are_those_of_torchvision_s_weight_files(network, tensors, weights):
    built = make_network(network, (3, 224, 224), 1000)
    state = {name: tuple(t.shape) for name, t in built.state_dict().items()}
    assert len(state) == tensors and len(list(built.parameters())) == weights
    assert list(state)[:6] == ["conv1.weight", *(f"bn1.{n}" for n in BATCH_NORM)]
    assert list(state)[-2:] == ["fc.weight", "fc.bias"]
    assert state["conv1.weight"] == (64, 3, 7, 7) and state["fc.weight"][0] == 1000
    for name, shape in LAYOUTS[network].items():
        assert state[name] == shape
    assert {n.rsplit(".", 1)[1] for n in state if ".bn" in n or "downsample.1" in n} == set(BATCH_NORM)


BATCH_NORM = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
LAYOUTS = {
    ResNet18: {
        "layer1.0.conv1.weight": (64, 64, 3, 3),
        "layer1.1.bn2.weight": (64,),
        "layer2.0.conv1.weight": (128, 64, 3, 3),
        "layer2.0.downsample.0.weight": (128, 64, 1, 1),
        "layer2.0.downsample.1.running_var": (128,),
        "layer4.1.conv2.weight": (512, 512, 3, 3),
        "fc.weight": (1000, 512),
    },
    ResNet50: {
        "layer1.0.conv1.weight": (64, 64, 1, 1),
        "layer1.0.conv3.weight": (256, 64, 1, 1),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer1.2.bn3.bias": (256,),
        "layer2.3.conv2.weight": (128, 128, 3, 3),
        "layer3.5.conv1.weight": (256, 1024, 1, 1),
        "layer4.0.downsample.0.weight": (2048, 1024, 1, 1),
        "layer4.2.conv3.weight": (2048, 512, 1, 1),
        "fc.weight": (1000, 2048),
    },
}


@pytest.mark.parametrize(
    ("network", "shape", "layer", "expected"),
    [
        (ResNet50, (3, 224, 224), "layer3", (1024, 14, 14)),
        (ResNet50, (3, 224, 224), "layer4", (2048, 7, 7)),
        (ResNet18, (3, 128, 128), "layer4", (512, 4, 4)),
        (CifarResNet18, (3, 32, 32), "layer4", (512, 4, 4)),
        (CifarResNet18, (3, 32, 32), "layer1", (64, 32, 32)),
    ],
)
def test_maps_of_the_full_networks_have_the_study_s_shapes(network, shape, layer, expected):
    with torch.device("meta"):
        built = make_network(network, shape, 10)
        assert built.map_shape(layer) == expected
        assert tuple(built.maps(torch.empty(1, *shape))[layer].shape[1:]) == expected


@pytest.mark.parametrize("network", [CifarResNet18, ResNet18, ResNet50])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 37, 50)])
def test_one_pass_gives_logits_and_map(network, shape):
    built = make_network(network, shape, 7, width=4).eval()
    x = torch.rand(2, *shape)
    for layer in ("layer3", "layer4"):
        logits, found = built.forward_with(x, layer)
        assert tuple(found.shape[1:]) == built.map_shape(layer)
        assert torch.equal(logits, built(x)) and logits.shape == (2, 7)
    assert torch.equal(built.head(built.features(x)), built(x))
    assert built.features(x).shape == (2, built.n_features)


def test_the_map_carries_the_gradient_back_to_the_stem():
    built = make_network(ResNet18, SMALL, 2, width=4)
    _, found = built.forward_with(torch.rand(2, *SMALL), "layer4")
    found.sum().backward()
    assert built.conv1.weight.grad.abs().sum() > 0 and built.fc.weight.grad is None


def test_a_block_is_its_formula():
    torch.manual_seed(0)
    block = make_network(ResNet18, SMALL, 2, width=4).eval().layer2[0]
    x = torch.rand(2, 4, 8, 8)
    inner = block.bn2(block.conv2(block.bn1(block.conv1(x)).relu()))
    assert torch.allclose(block(x), (inner + block.downsample[1](block.downsample[0](x))).relu())
    assert block(x).shape == (2, 8, 4, 4)


def test_the_mean_over_the_last_map_equals_an_average_pool():
    built = make_network(CifarResNet18, SMALL, 10, width=4)
    x = torch.rand(2, *SMALL)
    built.eval()
    assert torch.allclose(built.features(x), nn.functional.avg_pool2d(built.maps(x)["layer4"], 4).flatten(1))


def test_the_padded_pool_gives_2048_features_at_128_pixels_and_counts_the_padding():
    built = make_network(ResNet18, (3, 128, 128), 2, pool="padded")
    assert built.n_features == 2048 and built.fc.weight.shape == (2, 2048)
    pooled = built.pool(torch.ones(1, 512, 4, 4))
    assert pooled.shape == (1, 2048) and torch.allclose(pooled, torch.full_like(pooled, 16 / 49))
    assert make_network(ResNet18, (3, 128, 128), 2, width=4, pool="padded")(torch.rand(2, 3, 128, 128)).shape == (2, 2)


def test_the_padded_pool_refuses_small_images():
    with pytest.raises(InputError, match="network: pool = 'padded': its last map has only 1x1 pixels"):
        make_network(ResNet18, SMALL, 2, width=4, pool="padded")


def test_imagenet_convolutions_start_with_the_stated_variance():
    torch.manual_seed(0)
    built = make_network(ResNet18, (3, 64, 64), 2)
    for convolution in (built.layer2[1].conv2, built.layer3[0].downsample[0], built.conv1):
        k, out = convolution.kernel_size[0], convolution.out_channels
        assert convolution.weight.var().item() == pytest.approx(2 / (k**2 * out), rel=0.06)
        assert convolution.weight.mean().item() == pytest.approx(0, abs=0.002)
    assert (built.bn1.weight == 1).all() and (built.bn1.bias == 0).all()


# ---- weight files


@pytest.fixture
def weight_file(tmp_path):
    """A weight file of a small ResNet-18 with 5 outputs."""
    torch.manual_seed(3)
    path = tmp_path / "weights.pth"
    torch.save(make_network(ResNet18, SMALL, 5, width=4).state_dict(), path)
    return path


def test_weights_of_the_same_size_are_loaded_completely(weight_file, monkeypatch):
    given = torch.load(weight_file, weights_only=True)
    own = make_network(ResNet18, SMALL, 5, width=4, weights=str(weight_file)).state_dict()
    assert all(torch.equal(own[name], given[name]) for name in own)
    monkeypatch.setenv("WEIGHTS", str(weight_file.parent))
    assert torch.equal(
        make_network(ResNet18, SMALL, 5, width=4, weights="$WEIGHTS/weights.pth").fc.bias, own["fc.bias"]
    )


@pytest.mark.parametrize(("outputs", "shape", "pool"), [(3, SMALL, "global"), (5, (3, 128, 128), "padded")])
def test_a_last_layer_of_another_size_keeps_its_own_start(weight_file, outputs, shape, pool):
    given = torch.load(weight_file, weights_only=True)
    torch.manual_seed(8)
    own = make_network(ResNet18, shape, outputs, width=4, pool=pool, weights=str(weight_file)).state_dict()
    torch.manual_seed(8)
    fresh = make_network(ResNet18, shape, outputs, width=4, pool=pool).state_dict()
    for name in own:
        assert torch.equal(own[name], (fresh if name.startswith("fc.") else given)[name])


def test_files_without_batch_counters_are_loaded(weight_file, tmp_path):
    given = torch.load(weight_file, weights_only=True)
    old = {name: t for name, t in given.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    own = make_network(ResNet18, SMALL, 5, width=4, weights=str(tmp_path / "old.pth")).state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in old.items())


@pytest.mark.parametrize(
    ("network", "width", "message"),
    [
        (ResNet50, 4, r"tensors do not fit this network: layer1\.0\.conv3\.weight is missing"),
        (ResNet18, 8, r"conv1\.weight has shape \(4, 3, 7, 7\), not \(8, 3, 7, 7\)"),
    ],
)
def test_weights_of_another_architecture_are_refused(weight_file, network, width, message):
    with pytest.raises(InputError, match=message) as caught:
        make_network(network, SMALL, 5, width=width, weights=str(weight_file))
    assert "\n" not in str(caught.value)


def test_a_tensor_too_many_is_named(weight_file, tmp_path):
    given = {**torch.load(weight_file, weights_only=True), "layer5.weight": torch.zeros(2)}
    torch.save(given, tmp_path / "more.pth")
    with pytest.raises(InputError, match=r"1 tensors do not fit this network: layer5\.weight is unknown"):
        make_network(ResNet18, SMALL, 5, width=4, weights=str(tmp_path / "more.pth"))


class Malicious:
    def __reduce__(self):
        return print, ("executed",)


def test_files_that_are_not_tensors_are_refused_without_executing_them(tmp_path, capsys):
    path = tmp_path / "w.pth"
    contents = {
        "pickle": pickle.dumps(Malicious(), protocol=2),
        "text": b"not a weight file",
        "empty": b"",
    }
    for content in contents.values():
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a file of tensors"):
            make_network(ResNet18, SMALL, 5, width=4, weights=str(path))
    torch.save({"state_dict": {}}, path)
    with pytest.raises(InputError, match="not a plain mapping"):
        make_network(ResNet18, SMALL, 5, width=4, weights=str(path))
    with pytest.raises(InputError, match="no such file"):
        make_network(ResNet18, SMALL, 5, width=4, weights=str(tmp_path / "none.pth"))
    assert capsys.readouterr().out == ""


# ---- the classifier of null-sampling


def test_the_nifr_classifier_has_the_study_s_layers():
    network = make_network(NifrClassifier, (3, 64, 64), 2, one_logit=True)
    convolutions = [(3, 32, 5), (32, 64, 3), (64, 128, 3), (128, 256, 3), (256, 512, 3)]
    by_hand = sum(i * o * k * k + o + 2 * o for i, o, k in convolutions) + 512 + 1
    assert parameters(network) == by_hand == 1_572_609 and network.n_features == 512
    sides, x = [], torch.rand(2, 3, 64, 64)
    for block in network.body[:-1]:
        x = block(x)
        sides.append(x.shape[-1])
    assert sides == [30, 15, 7, 3, 1]


def test_one_logit_makes_cross_entropy_binary_cross_entropy():
    torch.manual_seed(0)
    network = make_network(NifrClassifier, (3, 64, 64), 2, width=2, one_logit=True).eval()
    x, y = torch.rand(6, 3, 64, 64), torch.tensor([0, 1, 1, 0, 1, 0])
    logits = network(x)
    z = network.features(x) @ network.head.weight[0] + network.head.bias
    expected = nn.functional.binary_cross_entropy_with_logits(z, y.float())
    assert nn.functional.cross_entropy(logits, y).item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.equal(logits.argmax(1), (z.sigmoid() > 0.5).long())


def test_the_nifr_classifier_works_for_other_problems_and_refuses_what_it_cannot_do():
    assert make_network(NifrClassifier, (1, 40, 80), 5, width=2)(torch.rand(3, 1, 40, 80)).shape == (3, 5)
    with pytest.raises(InputError, match="asks for 3 outputs"):
        make_network(NifrClassifier, (3, 64, 64), 3, one_logit=True)
    with pytest.raises(InputError, match="images of 36 pixels or more"):
        make_network(NifrClassifier, (3, 32, 32), 2)


# ---- the network for tables


def test_the_mlp_is_its_formula():
    torch.manual_seed(0)
    network, x = make_network(MLP, (5,), 3, hidden=[4, 2]).eval(), torch.rand(6, 5)
    first, second = network.body[0], network.body[3]
    inner = (((x @ first.weight.T + first.bias).relu()) @ second.weight.T + second.bias).relu()
    assert torch.allclose(network.features(x), inner) and network.n_features == 2
    assert torch.allclose(network(x), inner @ network.head.weight.T + network.head.bias)
    assert parameters(network) == 5 * 4 + 4 + 4 * 2 + 2 + 2 * 3 + 3


def test_codes_are_looked_up_as_vectors_in_their_place():
    network = make_network(MLP, (4,), 2, hidden=[], embedding=None, categories=(7, 200)).eval()
    assert [tuple(t.weight.shape) for t in network.embeddings] == [(7, 4), (200, 50)] and network.n_features == 56
    x = torch.tensor([[0.5, -1.0, 6.0, 0.0]])
    expected = torch.cat([x[0, :2], network.embeddings[0].weight[6], network.embeddings[1].weight[0]])
    assert torch.equal(network.features(x)[0], expected)
    assert make_network(MLP, (4,), 2, embedding=3, categories=(7, 200)).embeddings[1].weight.shape == (200, 3)


def test_every_vector_that_a_batch_shows_gets_a_gradient_and_no_other_one():
    network = make_network(MLP, (1,), 2, hidden=[], categories=(4,))
    network(torch.tensor([[1.0], [3.0], [3.0]])).sum().backward()
    assert network.embeddings[0].weight.grad.abs().sum(1).gt(0).tolist() == [False, True, False, True]


def test_the_mlp_takes_images_and_no_hidden_layer_and_drops_out_in_training_only():
    assert make_network(MLP, (3, 4, 4), 2, hidden=[])(torch.rand(5, 3, 4, 4)).shape == (5, 2)
    network, x = make_network(MLP, (9,), 2, dropout=0.5), torch.rand(4, 9)
    assert not torch.equal(network(x), network(x))
    network.eval()
    assert torch.equal(network(x), network(x))


def test_an_embedding_without_codes_and_codes_without_an_embedding_are_refused():
    with pytest.raises(InputError, match="network: embedding = 4: the data have no columns of codes"):
        make_network(MLP, (3,), 2, embedding=4)
    with pytest.raises(InputError, match="network: name = 'small-cnn': the data have columns of codes"):
        make_method({"name": "baseline"}, {"name": "small-cnn"}, Training(), table(), Generators.of(0))
