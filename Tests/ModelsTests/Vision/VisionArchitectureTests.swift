import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Testing

@Suite struct VisionArchitectureTests {
    /// Parameters as torchvision, or the paper's authors, count them.
    static let published: [(String, Int)] = [
        ("lenet-300-100", 266_610), ("lenet-5", 431_080), ("resnet20", 269_722), ("resnet32", 464_154),
        ("resnet44", 658_586), ("resnet56", 853_018), ("resnet110", 1_727_962), ("resnet18", 11_689_512),
        ("resnet34", 21_797_672), ("resnet50", 25_557_032), ("resnet101", 44_549_160), ("resnet152", 60_192_808),
        ("vgg11-bn-imagenet", 132_868_840), ("vgg13-bn-imagenet", 133_053_736), ("vgg16-bn-imagenet", 138_365_992),
        ("vgg19-bn-imagenet", 143_678_248), ("vgg16-bn", 14_724_042), ("vgg19-bn", 20_035_018),
        ("wrn-28-10", 36_479_194), ("wrn-40-2", 2_243_546), ("wrn-16-8", 10_961_370), ("mobilenet-v1", 4_231_976),
        ("mobilenet-v2", 3_504_872), ("shufflenet-v2-0.5", 1_366_792), ("shufflenet-v2-1.0", 2_278_604),
        ("shufflenet-v2-1.5", 3_503_624), ("shufflenet-v2-2.0", 7_393_996), ("densenet121", 7_978_856),
        ("densenet161", 28_681_000), ("densenet169", 14_149_480), ("densenet201", 20_013_928),
        ("densenet-bc-100-12", 769_162), ("fastgrnn-80", 7_444), ("resnet18-cifar", 11_173_962),
        ("vit-ti-16", 5_717_416), ("vit-s-16", 22_050_664), ("vit-b-16", 86_567_656), ("vit-b-32", 88_224_232),
        ("vit-l-16", 304_326_632), ("vit-h-14", 632_045_800),
    ]

    @Test(arguments: published) func publishedSizes(name: String, count: Int) throws {
        let architecture = try VisionArchitecture(named: name)
        #expect(architecture.parameterCount == count && architecture.name == name)
    }

    /// The convolutions of Conv-6, 1.1 million weights in the paper's figure.
    @Test func vgg9HasSixConvolutions() throws {
        let network = try VisionArchitecture(named: "vgg9-bn").makeNetwork()
        let shapes = network.parameters.map(\.parameter.wrappedValue.shape).filter { $0.count == 4 }
        #expect(shapes.map { $0[0] } == [64, 64, 128, 128, 256, 256])
        #expect(shapes.map { $0[1] } == [3, 64, 64, 128, 128, 256])
        #expect(shapes.reduce(0) { $0 + $1.reduce(1, *) } == 1_144_512)
    }

    @Test(arguments: VisionArchitecture.knownNames) func knownNamesAreRead(name: String) throws {
        let architecture = try VisionArchitecture(named: name)
        #expect(architecture.name.hasPrefix(name) && architecture.description == architecture.name)
        let again = try VisionArchitecture(named: architecture.name)
        #expect(again == architecture && again.hashValue == architecture.hashValue)
    }

    /// Small members of all families.
    static let small: [(name: String, multiplier: Double, size: Windows.Axes?)] = [
        ("lenet-300-100", 0.1, 8), ("lenet-5", 0.2, 16), ("vgg16-bn", 0.05, 32), ("vgg9-bn", 0.05, 32),
        ("vgg11-bn-imagenet", 0.02, 32),
        ("resnet14", 0.25, 8), ("resnet14-projected", 0.25, 8), ("resnet-0-2-1", 0.25, 8), ("resnet18", 0.1, 32),
        ("resnet-1-2-1-1-bottleneck", 0.1, 32), ("resnet18-cifar", 0.1, 8), ("wrn-10-2", 0.25, 8),
        ("wrn-1-2-1-1", 0.25, 8), ("mobilenet-v1", 0.1, 40), ("mobilenet-v1-cifar", 0.1, 32),
        ("mobilenet-v2", 0.1, 40), ("mobilenet-v2-cifar", 0.5, 32), ("shufflenet-v2-0.5", 0.2, 40),
        ("shufflenet-v2-1.0-cifar", 0.1, 32), ("densenet-2-1-2-k4", 1, 32), ("densenet-bc-16-3", 1, 8),
        ("fastgrnn-6", 1, [5, 1]), ("fastgrnn-6-w2-u3", 1, [5, 1]), ("vit-2-192-p4", 1, [8, 8]),
        ("vit-1-192-p3", 2, [3, 3]),
    ]

    static func make(_ item: (name: String, multiplier: Double, size: Windows.Axes?)) throws -> VisionArchitecture {
        try VisionArchitecture(named: item.name, classes: 3, imageSize: item.size, widthMultiplier: item.multiplier)
    }

    @Test(arguments: small.indices) func trainsForwardAndBackward(index: Int) throws {
        let architecture = try Self.make(Self.small[index])
        let network = architecture.makeNetwork(seed: 4)
        var generator = RandomGenerator(seed: 2)
        let inputs = Tensor.normal([3] + architecture.inputShape, using: &generator)
        let loss = network.loss(LabeledBatch(inputs: inputs, targets: Tensor([0, 2, 1])))
        let slopes = gradients(of: loss, withRespectTo: network.parameters.map(\.parameter.wrappedValue))
        #expect(loss.scalar.isFinite && loss.scalar > 0)
        for ((name, _), slope) in zip(network.parameters, slopes) {
            #expect(slope.doubles().allSatisfy { $0.isFinite }, "\(name)")
        }
        #expect(slopes.contains { $0.doubles().contains { $0 != 0 } })
        let used = network.inUse { network.outputs(inputs) }
        #expect(used.shape == [3, 3] && used.floats().allSatisfy { $0.isFinite })
        // The same seed makes the same network; another makes another.
        let again = architecture.makeNetwork(seed: 4)
        let other = architecture.makeNetwork(seed: 5)
        let weights = { (network: any VisionNetwork) in network.parameters[0].parameter.wrappedValue.floats() }
        #expect(weights(architecture.makeNetwork(seed: 4)) == weights(again) && weights(again) != weights(other))
    }

    @Test(arguments: small.indices) func surviveJSON(index: Int) throws {
        let own = try Self.make(Self.small[index])
        var widths: [String: Int] = [:]
        for (place, (layer, width)) in own.widths.enumerated() where place % 3 == 0 { widths[layer] = width + 1 }
        let cut = try VisionArchitecture(
            named: own.name, classes: 7, imageSize: Self.small[index].size,
            widthMultiplier: Self.small[index].multiplier,
            widths: Self.small[index].name.hasPrefix("resnet14") ? [:] : widths)
        for architecture in [own, cut] {
            let text = JSON.object(architecture.json).serialized(pretty: true)
            let read = try VisionArchitecture(json: JSON(text: text, source: "config.json"), source: "config.json")
            #expect(read == architecture && read.widths == architecture.widths)
        }
        #expect(own != cut)
    }

    @Test func namesOfTorchvision() throws {
        for (architecture, names) in [
            ("resnet50", ["layer1.0.conv3.weight", "layer4.2.bn3.bias", "layer1.0.downsample.1.weight", "fc.bias"]),
            (
                "vgg16-bn-imagenet",
                ["features.0.bias", "features.41.weight", "classifier.3.weight", "classifier.6.bias"]
            ),
            (
                "mobilenet-v2",
                [
                    "features.0.0.weight", "features.1.conv.1.weight", "features.1.conv.2.bias",
                    "features.17.conv.0.0.weight", "features.17.conv.1.1.weight", "features.17.conv.3.weight",
                    "features.18.1.bias", "classifier.1.weight",
                ]
            ),
            (
                "shufflenet-v2-1.0",
                [
                    "conv1.0.weight", "stage2.0.branch1.2.weight", "stage4.3.branch2.6.bias", "conv5.1.weight",
                    "fc.weight",
                ]
            ),
            (
                "densenet121",
                [
                    "features.conv0.weight", "features.norm0.bias", "features.denseblock4.denselayer16.conv2.weight",
                    "features.transition3.norm.weight", "features.norm5.bias", "classifier.weight",
                ]
            ),
        ] {
            let own = Set(try VisionArchitecture(named: architecture).makeNetwork().parameters.map(\.name))
            for name in names { #expect(own.contains(name), "\(architecture): \(name)") }
        }
    }

    @Test func widthsAreChosenByLayer() throws {
        let network = try VisionArchitecture(
            named: "resnet20", widths: ["conv1": 10, "layer1.1.conv1": 3, "layer2.0.conv2": 21]
        ).makeNetwork()
        let shapes = Dictionary(
            uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter.wrappedValue.shape) })
        #expect(shapes["layer1.1.conv1.weight"] == [3, 10, 3, 3] && shapes["layer1.1.bn1.weight"] == [3])
        #expect(shapes["layer1.1.conv2.weight"] == [10, 3, 3, 3])
        #expect(
            shapes["layer2.2.conv2.weight"] == [21, 32, 3, 3] && shapes["layer3.0.conv1.weight"] == [64, 21, 3, 3])
        #expect(network.outputs(.ones([2, 3, 8, 8])).shape == [2, 10])
    }

    // MARK: Bad input

    @Test(arguments: [
        ("resnet21", "a depth of 18"), ("resnet5000006", "a depth of 18"),
        ("resnet20-cifar", "it is for CIFAR already"),
        ("resnet18-projected", "it always projects"), ("resnet-3-0-3", "blocks of three stages"),
        ("resnet-3-3-3-cifar", "blocks of three stages"), ("resnet-99999999999999999999-1-1", "blocks of three stages"),
        ("vgg12-bn", "a depth of 9, 11, 13, 16 or 19"), ("wrn-27-10", "a depth of 6n + 4"),
        ("wrn-28-0", "a depth of 6n + 4"),
        ("densenet122", "a depth of 121"), ("densenet-bc-99-12", "a depth of 6n + 4"),
        ("densenet-0-1-k4", "the layers of each block"), ("shufflenet-v2-3.0", "a complexity of 0.5"),
        ("fastgrnn-0", "hidden units"), ("fastgrnn-80-w0", "hidden units"), ("rasnet20", "did you mean \"resnet20\"?"),
        ("vit-x-16", "such as vit-b-16"), ("vit-b-0", "such as vit-b-16"), ("vit-0-24-p4", "such as vit-6-192-p4"),
        ("mobilenet", "did you mean \"mobilenet-v"), ("", "expected one of"),
        ("transformer-of-another-kind", "is known"),
    ])
    func namesThatAreNone(name: String, hint: String) {
        let message = refusal(.usage) { _ = try VisionArchitecture(named: name) }
        #expect(message.hasPrefix("architecture: ") && message.contains(hint), "\(message)")
    }

    @Test func impossibleOptions() {
        func check(_ prefix: String, _ body: () throws -> VisionArchitecture) {
            let message = refusal { _ = try body() }
            #expect(message.hasPrefix(prefix), "\(message)")
        }
        check("classes: 0, expected") { try .init(named: "resnet20", classes: 0) }
        check("input_channels: -1, expected") { try .init(named: "resnet20", inputChannels: -1) }
        check("image_size: 28, expected a whole number from 32") { try .init(named: "vgg16-bn", imageSize: 28) }
        check("width_multiplier: nan") { try .init(named: "resnet20", widthMultiplier: .nan) }
        check("widths.conv1: 0, expected") { try .init(named: "resnet20", widths: ["conv1": 0]) }
        check("widths.layer1.0.conv3: is no layer of resnet20 that has a width of its own; did you mean") {
            try .init(named: "resnet20", widths: ["layer1.0.conv3": 4])
        }
        check("widths.layer2.0.conv2: 5 channels after 16") {
            try .init(named: "resnet20", widths: ["layer2.0.conv2": 5])
        }
        check("image_size: 8 × 10, expected multiples of the patches' 4 for vit-2-24-p4") {
            try .init(named: "vit-2-24-p4", imageSize: [8, 10])
        }
        check("image_size: 3, expected a whole number from 4") { try .init(named: "vit-2-24-p4", imageSize: 3) }
        check("widths: make") {
            try .init(named: "vgg16-bn", widthMultiplier: 64, widths: ["features.37": 1 << 20, "features.40": 1 << 20])
        }
    }

    @Test(arguments: [
        ("[]", "c.json: expected a JSON object"), ("{}", "c.json: architecture: is missing"),
        (#"{"architecture": 3}"#, "c.json: architecture: expected a string"),
        (#"{"architecture": "resnet21"}"#, "c.json: architecture: \"resnet21\""),
        (#"{"architecture": "resnet20", "classes": 0}"#, "c.json: classes: expected a whole number"),
        (#"{"architecture": "resnet20", "classes": 1e300}"#, "c.json: classes: expected a whole number"),
        (#"{"architecture": "resnet20", "image_size": [32]}"#, "c.json: image_size: expected"),
        (#"{"architecture": "resnet20", "image_size": [0, 4]}"#, "c.json: image_size: 0, expected"),
        (#"{"architecture": "resnet20", "width_multiplier": -1}"#, "c.json: width_multiplier: expected"),
        (#"{"architecture": "resnet20", "widths": 4}"#, "c.json: widths: expected an object"),
        (#"{"architecture": "resnet20", "widths": {"conv1": "x"}}"#, "c.json: widths.conv1: expected a whole number"),
        (#"{"architecture": "resnet20", "widths": {"conv7": 4}}"#, "c.json: widths.conv7: is no layer of resnet20"),
        (
            #"{"architecture": "vit-2-24-p4", "head_size": 5}"#,
            "c.json: head_size: 5, expected a divisor of the width 24"
        ),
        (#"{"architecture": "vit-2-24-p4", "head_size": 0}"#, "c.json: head_size: expected a whole number"),
        (#"{"architecture": "vit-2-24-p4", "heads": [3]}"#, "c.json: heads: expected 2 whole numbers of at least 1"),
        (#"{"architecture": "vit-2-24-p4", "heads": [3, 0]}"#, "c.json: heads: expected 2 whole numbers"),
        (#"{"architecture": "vgg16-bn", "dropout": 1}"#, "c.json: dropout: expected a number from 0 to below 1"),
        (#"{"architecture": "vgg16-bn", "convolution_bias": 1}"#, "c.json: convolution_bias: expected true or false"),
    ])
    func configurationsThatAreNone(text: String, prefix: String) {
        let message = refusal { _ = try VisionArchitecture(json: JSON(text: text, source: "c.json"), source: "c.json") }
        #expect(message.hasPrefix(prefix), "\(message)")
    }
}
