import CoppiceFormats
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation
import Testing

@Suite struct VisionCheckpointTests {
    /// A network whose widths are all its own.
    private func odd(_ index: Int) throws -> VisionArchitecture {
        let item = VisionArchitectureTests.small[index]
        let own = try VisionArchitectureTests.make(item)
        var generator = RandomGenerator(seed: UInt64(index))
        var widths: [String: Int] = [:]
        for (layer, width) in own.widths {
            widths[layer] = max(1, width - Int.random(in: 0...max(1, width / 3), using: &generator))
        }
        // Padded shortcuts want stages that do not get narrower.
        if item.name == "resnet14" || item.name == "resnet-0-2-1" {
            widths["conv1"] = 3
            widths["layer2.0.conv2"] = 7
            widths["layer3.0.conv2"] = 8
        }
        return try VisionArchitecture(
            named: item.name, classes: 5, inputChannels: own.inputChannels, imageSize: item.size,
            widthMultiplier: item.multiplier, widths: widths)
    }

    private func tensors(_ network: any VisionNetwork) -> [(name: String, tensor: Tensor)] {
        network.parameters.map { ($0.name, $0.parameter.wrappedValue.detached()) }
            + network.stateTensors.map { ($0.name, $0.state.wrappedValue) }
    }

    private func inputs(_ architecture: VisionArchitecture) -> Tensor {
        var generator = RandomGenerator(seed: 7)
        return .normal([2] + architecture.inputShape, using: &generator)
    }

    @Test(arguments: VisionArchitectureTests.small.indices)
    func bareFilesAreRecognized(index: Int) throws {
        let scratch = try ScratchFolder()
        for architecture in [try odd(index), try VisionArchitectureTests.make(VisionArchitectureTests.small[index])] {
            let network = architecture.makeNetwork(seed: 3)
            // Statistics of a batch.
            _ = network.outputs(inputs(architecture))
            let path = scratch["bare.safetensors"]
            try SafetensorsWriter.write(tensors(network), to: path)
            let checkpoint = try VisionCheckpoint.open(path)
            #expect(checkpoint.architecture.widths == architecture.widths && checkpoint.normalization == nil)
            #expect(
                checkpoint.architecture.inputShape[0] == architecture.inputShape[0]
                    || architecture.inputShape.count == 2)
            #expect(VisionCheckpoint.isVisionNetwork(path))
            let loaded = try checkpoint.network()
            for (own, other) in zip(tensors(network), tensors(loaded)) {
                #expect(own.name == other.name && own.tensor.doubles() == other.tensor.doubles(), "\(own.name)")
            }
            guard !architecture.name.hasSuffix("-cifar") || architecture.name.hasPrefix("resnet") else { continue }
            let images = inputs(architecture)
            let expected = network.inUse { network.outputs(images) }
            #expect(withoutRecording { loaded.outputs(images) }.floats() == expected.floats())
        }
    }

    @Test func multipliersAreRecognized() throws {
        let scratch = try ScratchFolder()
        for (name, multiplier) in [
            ("resnet20", 0.5), ("mobilenet-v1", 0.25), ("mobilenet-v2", 0.35), ("vgg16-bn", 0.125), ("resnet20", 1.5),
        ] {
            let architecture = try VisionArchitecture(named: name, widthMultiplier: multiplier)
            let path = scratch["bare.safetensors"]
            try SafetensorsWriter.write(tensors(architecture.makeNetwork()), to: path)
            let options = try VisionCheckpoint.open(path).architecture.configuration.options
            #expect(options.widthMultiplier == multiplier && options.widths.isEmpty, "\(name)")
        }
    }

    @Test(arguments: VisionArchitectureTests.small.indices)
    func writtenNetworksReturn(index: Int) throws {
        let scratch = try ScratchFolder()
        let architecture = try odd(index)
        let network = architecture.makeNetwork(seed: 3)
        let images = inputs(architecture)
        _ = network.outputs(images)
        let channels = architecture.inputChannels
        let normalization = ImageNormalization(
            mean: .init(repeating: 0.25, count: channels), deviation: .init(repeating: 0.5, count: channels))
        try VisionCheckpoint.write(network, normalization: normalization, folder: scratch["folder"])
        try VisionCheckpoint.write(network, normalization: normalization, file: scratch["file.safetensors"])
        let expected = network.inUse { network.outputs(images) }.floats()
        for path in ["folder", "folder/", "folder/model.safetensors", "file.safetensors"] {
            let checkpoint = try VisionCheckpoint.open(scratch[path])
            #expect(checkpoint.architecture == architecture && checkpoint.normalization == normalization)
            let loaded = try checkpoint.network()
            #expect(withoutRecording { loaded.outputs(images) }.floats() == expected)
        }
        #expect(VisionCheckpoint.isVisionNetwork(scratch["folder"]))
    }

    /// Names that other tools give the same tensors, and blocks that are missing.
    @Test func namesInCirculation() throws {
        let scratch = try ScratchFolder()
        let path = scratch["other.safetensors"]
        func check(_ name: String, multiplier: Double, _ rename: (String) -> String) throws {
            let architecture = try VisionArchitecture(named: name, widthMultiplier: multiplier)
            let network = architecture.makeNetwork(seed: 9)
            try SafetensorsWriter.write(tensors(network).map { (name: rename($0.name), tensor: $0.tensor) }, to: path)
            let checkpoint = try VisionCheckpoint.open(path)
            #expect(checkpoint.architecture.name == name)
            let loaded = try checkpoint.network()
            for (own, other) in zip(tensors(network), tensors(loaded)) {
                #expect(own.tensor.doubles() == other.tensor.doubles(), "\(name): \(own.name)")
            }
        }
        try check("resnet20", multiplier: 0.25) { "module." + $0.replacing("fc.", with: "linear.") }
        for wrapper in ["model.", "module.model.", "_orig_mod.module.", "state_dict."] {
            try check("resnet20", multiplier: 0.25) { wrapper + $0 }
        }
        try check("resnet14-projected", multiplier: 0.25) { $0.replacing("downsample", with: "shortcut") }
        try check("densenet-bc-16-3", multiplier: 1) {
            $0.replacing("norm1.", with: "norm.1.").replacing("conv2.", with: "conv.2.")
        }
        try check("vgg11-bn", multiplier: 0.1) { $0.replacing("features.", with: "feature.") }
        try check("vit-1-192-p8", multiplier: 1) { VisionTransformerTests.torchvisionName($0) }
        // The second of four blocks was removed.
        try check("resnet-3-2-3", multiplier: 0.25) {
            $0.replacing("layer1.2.", with: "layer1.3.").replacing("layer1.1.", with: "layer1.2.")
        }
    }

    // MARK: Bad input

    private func refused(
        _ scratch: ScratchFolder, _ tensors: [(name: String, tensor: Tensor)], metadata: [String: String] = [:]
    ) throws -> String {
        let path = scratch["bad.safetensors"]
        try SafetensorsWriter.write(tensors, metadata: metadata, to: path)
        let message = refusal { _ = try VisionCheckpoint.open(path) }
        #expect(message.hasPrefix(path + ": "), "\(message)")
        return String(message.dropFirst(path.count + 2))
    }

    /// Of matrices and of all other tensors: a network with NaN in a bias answers at random.
    @Test func numbersThatAreNoneAreNamed() throws {
        let scratch = try ScratchFolder()
        let path = scratch["bad.safetensors"]
        let network = try VisionArchitecture(named: "resnet14", widthMultiplier: 0.25).makeNetwork(seed: 1)
        for (name, value, message) in [
            ("fc.bias", Float.nan, "is NaN at [1], expected finite weights"),
            ("bn1.weight", .infinity, "is infinite at [1], expected finite weights"),
            ("layer1.0.bn1.running_mean", .nan, "is NaN at [1], expected finite weights"),
            ("layer2.0.bn1.running_var", -0.5, "is -0.5 at [1], expected variances of at least 0"),
        ] {
            let broken = tensors(network).map { own -> (name: String, tensor: Tensor) in
                guard own.name == name else { return own }
                var values = own.tensor.floats()
                values[1] = value
                return (name, Tensor(values, shape: own.tensor.shape))
            }
            try SafetensorsWriter.write(broken, to: path)
            #expect(refusal { _ = try VisionCheckpoint.open(path).network() } == "\(path): \(name): \(message)")
        }
    }

    /// What was compressed becomes what PyTorch loads: dense tensors of the same values by torchvision's names.
    @Test func compressedNetworksBecomeDense() throws {
        let scratch = try ScratchFolder()
        let network = try VisionArchitecture(named: "resnet14", widthMultiplier: 0.25).makeNetwork(seed: 3)
        let name = "layer2.1.conv2.weight"
        let weight = try #require(network.parameters.first { $0.name == name }?.parameter)
        let kept = weight.wrappedValue.floats().map { max(0, $0) }
        weight.wrappedValue = Tensor(kept, shape: [8, 8, 3, 3])
        try VisionCheckpoint.write(
            network, formats: [name: BitmaskSparseWeight(packing: Tensor(kept, shape: [8, 72]), values: .float(.f32))],
            folder: scratch["small"])
        try VisionCheckpoint.open(scratch["small"]).convert(to: scratch["dense"])
        let file = try SafetensorsFile(path: scratch["dense/model.safetensors"])
        for own in tensors(network) {
            #expect(try file.tensor(own.name).doubles() == own.tensor.doubles(), "\(own.name)")
            #expect(try file.tensor(own.name).shape == own.tensor.shape, "\(own.name)")
        }
        try VisionCheckpoint.open(scratch["small"]).convert(to: scratch["half"], dataType: .f16)
        let half = try SafetensorsFile(path: scratch["half/model.safetensors"])
        #expect(try half.tensor(name).dataType == .f16 && half.tensor(name).shape == [8, 8, 3, 3])
        #expect(try half.tensor("fc.bias").dataType == .f32)
        #expect(try VisionCheckpoint.open(scratch["half"]).architecture.name == "resnet14")
    }

    @Test func checkpointsThatAreNone() throws {
        let scratch = try ScratchFolder()
        let network = try VisionArchitecture(named: "resnet14", widthMultiplier: 0.25).makeNetwork()
        let whole = tensors(network)
        #expect(
            try refused(scratch, [("a.weight", .ones([2, 2]))]).hasPrefix("its tensors are of no vision architecture"))
        #expect(try refused(scratch, []).hasPrefix("its tensors are of no vision architecture"))
        #expect(
            try refused(scratch, whole.filter { $0.name != "layer2.0.bn1.bias" })
                == "layer2.0.bn1.bias: is missing, resnet14 has it")
        #expect(
            try refused(scratch, whole + [("layer1.0.se.fc.weight", .ones([1]))])
                == "layer1.0.se.fc.weight: is no tensor of resnet14")
        #expect(
            try refused(
                scratch, whole.map { $0.name == "layer2.1.conv2.weight" ? ($0.name, .ones([8, 7, 3, 3])) : $0 })
                == "layer2.1.conv2.weight: shape [8, 7, 3, 3], expected [8, 8, 3, 3] in resnet14")
        #expect(
            try refused(scratch, whole + [("linear.weight", .ones([1]))])
                == "linear.weight: is the same tensor of the architecture as fc.weight")
        #expect(
            try refused(scratch, whole.map { $0.name == "conv1.weight" ? ($0.name, .ones([0, 3, 3, 3])) : $0 })
                .hasPrefix("widths.conv1: 0, expected"))
        #expect(
            try refused(scratch, whole, metadata: ["coppice.vision": #"{"architecture": "resnet20"}"#])
                .contains("resnet20"))
        #expect(
            try refused(scratch, whole, metadata: ["coppice.vision": "{"]).hasPrefix("coppice.vision: "))
        let named = #"{"architecture": "resnet14", "width_multiplier": 0.25, "#
        #expect(
            try refused(scratch, whole, metadata: ["coppice.vision": named + #""mean": [1, 2, 3]}"#])
                .hasPrefix("coppice.vision: deviation: is missing, expected 3 numbers above 0"))
        #expect(
            try refused(
                scratch, whole, metadata: ["coppice.vision": named + #""mean": [1, 2], "deviation": [1, 1, 1]}"#]
            )
            .hasPrefix("coppice.vision: mean: expected 3 numbers, found"))
        #expect(
            try refused(
                scratch, whole, metadata: ["coppice.vision": named + #""mean": [1, 2, 3], "deviation": [1, 0, 1]}"#]
            )
            .hasPrefix("coppice.vision: deviation: expected 3 numbers above 0, found"))
    }

    @Test func pathsThatAreNone() throws {
        let scratch = try ScratchFolder()
        #expect(refusal(.noInput) { _ = try VisionCheckpoint.open(scratch["none"]) }.contains("no such file or folder"))
        try scratch.write("folder/model.safetensors", "x")
        #expect(
            refusal(.noInput) { _ = try VisionCheckpoint.open(scratch["folder"]) }.contains(
                "folder/config.json: no such"))
        try scratch.write("model.txt", "x")
        #expect(refusal { _ = try VisionCheckpoint.open(scratch["model.txt"]) }.contains("expected a model folder"))
        #expect(!VisionCheckpoint.isVisionNetwork(scratch["model.txt"]))
        #expect(!VisionCheckpoint.isVisionNetwork(scratch["folder/model.safetensors"]))
        #expect(!VisionCheckpoint.isVisionNetwork(scratch["folder"]))
    }

    /// Trained networks of others, recognized from the file alone, in the folder that COPPICE_DATA names.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["COPPICE_DATA"] != nil), arguments: [20, 32])
    func trainedNetworksAreRecognized(depth: Int) throws {
        let data = try #require(ProcessInfo.processInfo.environment["COPPICE_DATA"])
        let checkpoint = try VisionCheckpoint.open("\(data)/resnet-cifar/resnet\(depth).safetensors")
        let expected = try VisionArchitecture(named: "resnet\(depth)")
        #expect(checkpoint.architecture == expected)
        let network = try #require(try checkpoint.network() as? ResNet)
        #expect(network.parameterCount == (depth == 20 ? 269_722 : 464_154))
    }
}
