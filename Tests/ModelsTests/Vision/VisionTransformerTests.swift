import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Testing

/// What vision transformers have beyond other vision networks: heads, patches that are hidden, names of two libraries.
@Suite struct VisionTransformerTests {
    private static let architecture = Result { try VisionArchitecture(named: "vit-2-24-p4", classes: 3, imageSize: 8) }

    private func configuration() throws -> VisionTransformer.Configuration {
        try #require(Self.architecture.get().configuration as? VisionTransformer.Configuration)
    }

    private func images(_ count: Int, seed: UInt64 = 1) -> Tensor {
        var generator = RandomGenerator(seed: seed)
        return .normal([count, 3, 8, 8], using: &generator)
    }

    static func torchvisionName(_ name: String) -> String {
        var name = name
        if name.hasPrefix("blocks.") { name = "encoder.layers.encoder_layer_" + name.dropFirst(7) }
        for (own, other) in [
            ("attn.qkv.", "self_attention.in_proj_"), ("attn.proj", "self_attention.out_proj"), ("norm1", "ln_1"),
            ("norm2", "ln_2"), ("mlp.fc1", "mlp.0"), ("mlp.fc2", "mlp.3"), ("cls_token", "class_token"),
            ("patch_embed.proj", "conv_proj"), ("pos_embed", "encoder.pos_embedding"),
        ] { name = name.replacing(own, with: other) }
        if name.hasPrefix("norm.") { return "encoder.ln." + name.dropFirst(5) }
        return name.hasPrefix("head.") ? "heads." + name : name
    }

    @Test func namesOfOtherLibrariesAreTheSameArchitecture() throws {
        for (name, own) in [
            ("vit_base_patch16_224", "vit-b-16"), ("deit-tiny-patch16-224", "vit-ti-16"), ("vit_l_32", "vit-l-32"),
        ] { #expect(try VisionArchitecture(named: name) == VisionArchitecture(named: own)) }
        let large = try VisionArchitecture(named: "vit_base_patch16_384")
        #expect(large.inputShape == [3, 384, 384] && large.name == "vit-b-16")
        for (name, side) in [("vit-2-24-p7", 28), ("vit-2-24-p40", 200), ("vit-2-24-p300", 300)] {
            #expect(try VisionArchitecture(named: name).inputShape == [3, side, side])
        }
        let images = try VisionArchitecture(named: "vit-2-24-p7", images: [1, 14, 21], classes: 2)
        #expect(images.inputShape == [1, 14, 21])
        let names = Set(
            try VisionArchitecture(named: "vit-b-16").makeNetwork().parameters.map { Self.torchvisionName($0.name) })
        for name in [
            "class_token", "conv_proj.weight", "encoder.pos_embedding", "encoder.ln.bias", "heads.head.weight",
            "encoder.layers.encoder_layer_11.self_attention.in_proj_weight",
            "encoder.layers.encoder_layer_0.mlp.3.bias",
        ] { #expect(names.contains(name), "\(name)") }
    }

    /// Heads are channels: they go whole, with what makes and reads them, and what is left is stored and recognized.
    @Test func headsAreRemovedWhole() throws {
        let network = try Self.architecture.get().makeNetwork(seed: 2)
        let groups = try ChannelGroups(of: network, example: images(2))
        #expect(
            groups.groups.map(\.name) == [
                "blocks.0.attn.qkv", "blocks.0.mlp.fc1", "blocks.1.attn.qkv", "blocks.1.mlp.fc1",
            ])
        #expect(groups.groups.map(\.count) == [3, 96, 3, 96] && groups.unsupported.isEmpty)
        var kept = KeptChannels(allOf: groups)
        kept.remove(1, ofGroup: 0)
        let narrow = try network.removingChannels(of: groups, keeping: kept)
        let configuration = try #require(narrow.configuration as? VisionTransformer.Configuration)
        #expect(configuration.heads == [2, 3] && network.parameterCount - narrow.parameterCount == 4 * 8 * 24 + 3 * 8)
        let whole = Dictionary(uniqueKeysWithValues: network.parameters.map { ($0.name, $0.parameter.wrappedValue) })
        let part = Dictionary(uniqueKeysWithValues: narrow.parameters.map { ($0.name, $0.parameter.wrappedValue) })
        let rows = (0..<72).filter { !(8..<16).contains($0 % 24) }
        #expect(
            part["blocks.0.attn.qkv.weight"]?.floats()
                == whole["blocks.0.attn.qkv.weight"]?.take(Tensor(rows)).floats())
        let scratch = try ScratchFolder()
        try VisionCheckpoint.write(narrow, folder: scratch["cut"])
        try VisionCheckpoint.write(narrow, file: scratch["cut.safetensors"])
        let expected = narrow.inUse { narrow.outputs(images(2)) }.floats()
        for path in ["cut", "cut.safetensors"] {
            let read = try VisionCheckpoint.open(scratch[path])
            #expect(try read.architecture == VisionArchitecture(narrow.configuration))
            #expect(try withoutRecording { try read.network().outputs(images(2)) }.floats() == expected)
        }
    }

    /// Blocks that stay keep the heads that they have left.
    @Test func blocksGoFromNetworksWithoutSomeHeads() throws {
        let network = try VisionArchitecture(named: "vit-3-24-p4", classes: 3, imageSize: 8).makeNetwork(seed: 2)
        let groups = try ChannelGroups(of: network, example: images(2))
        var kept = KeptChannels(allOf: groups)
        kept.remove(1, ofGroup: 0)
        let narrow = try network.removingChannels(of: groups, keeping: kept)
        for (block, heads) in [("blocks.0", nil), ("blocks.1", [2, 3])] as [(String, [Int]?)] {
            let removal = try BlockRemoval(of: [block], from: VisionArchitecture(narrow.configuration))
            let shallow = removal(narrow)
            #expect((shallow.configuration as? VisionTransformer.Configuration)?.heads == heads)
            let whole = try VisionArchitecture(narrow.configuration).makeNetwork()
            Snapshot(of: narrow).restore(whole)
            removal.silence(whole)
            let outputs = [whole, shallow].map { network in network.inUse { network.outputs(images(2)) } }
            #expect((outputs[0] - outputs[1]).abs().maximum().scalar < 1e-5)
        }
    }

    /// A bare file says how many heads there are where they are of 64, as those of published networks; where it does not,
    /// it is no network that is known, rather than one that computes something else.
    @Test func bareFilesTellHeadsOfPublishedSizes() throws {
        let scratch = try ScratchFolder()
        func write(_ name: String, keeping heads: [Int]) throws -> any VisionNetwork {
            let network = try VisionArchitecture(named: name, classes: 3, imageSize: 8).makeNetwork(seed: 2)
            let groups = try ChannelGroups(of: network, example: images(2))
            var kept = KeptChannels(allOf: groups)
            for head in 0..<3 where !heads.contains(head) { kept.remove(head, ofGroup: 0) }
            let narrow = try network.removingChannels(of: groups, keeping: kept)
            try SafetensorsWriter.write(
                narrow.parameters.map { ($0.name, $0.parameter.wrappedValue.detached()) },
                to: scratch["bare.safetensors"])
            return narrow
        }
        for heads in [[0, 1, 2], [2]] {
            let network = try write("vit-2-192-p4", keeping: heads)
            let read = try VisionCheckpoint.open(scratch["bare.safetensors"])
            #expect(try read.architecture == VisionArchitecture(network.configuration))
            let expected = network.inUse { network.outputs(images(2)) }.floats()
            #expect(try withoutRecording { try read.network().outputs(images(2)) }.floats() == expected)
        }
        _ = try write("vit-2-24-p4", keeping: [0, 1, 2])
        #expect { try VisionCheckpoint.open(scratch["bare.safetensors"]) } throws: {
            "\($0)".contains("its tensors are of no vision architecture that is known")
        }
    }

    // MARK: - Hidden patches

    private func batch(_ images: Tensor) -> LabeledBatch {
        LabeledBatch(inputs: images, targets: Tensor([1, 0, 0, 1, 0, 1, 1, 0], shape: [2, 4]))
    }

    /// Pixels `[rows, columns]` of a patch of 8 × 8 images of three channels, in the order that the decoder has them.
    private func pixels(_ images: Tensor, _ image: Int, _ patch: Int) -> [Double] {
        let all = images.doubles()
        return (0..<48).map { index in
            let (channel, row, column) = (index / 16, index / 4 % 4 + patch / 2 * 4, index % 4 + patch % 2 * 4)
            return all[((image * 3 + channel) * 8 + row) * 8 + column]
        }
    }

    @Test func theLossIsThatOfStandardizedHiddenPixels() throws {
        let network = MaskedPatchNetwork(try configuration(), seed: 3)
        // Whatever is seen, the prediction is the decoder's bias.
        network.decoder.weight = .zeros(network.decoder.weight.shape)
        let bias = (0..<48).map { Double($0 % 5) / 4 - 0.5 }
        network.decoder.bias?.wrappedValue = Tensor(bias).converted(to: .f32)
        let images = images(2)
        var expected = 0.0
        for (image, patch) in [(0, 0), (0, 3), (1, 1), (1, 2)] {
            let own = pixels(images, image, patch)
            let mean = own.reduce(0, +) / 48
            let deviation = (own.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 48 + 1e-6).squareRoot()
            for (value, predicted) in zip(own, bias) {
                let error = (value - mean) / deviation - predicted
                expected += error * error
            }
        }
        #expect(abs(Double(network.loss(batch(images)).scalar) - expected / (4 * 48)) < 1e-5)
        var nothing = batch(images)
        nothing.targets = Tensor([Int](repeating: 0, count: 8), shape: [2, 4])
        #expect(network.loss(nothing).scalar == 0)
    }

    /// What is hidden is not seen: other pixels there change the target alone, pixels that are seen the prediction.
    @Test func hiddenPatchesAreNotSeen() throws {
        let network = MaskedPatchNetwork(try configuration(), seed: 3)
        var generator = RandomGenerator(seed: 4)
        network.decoder.weight = .normal(network.decoder.weight.shape, using: &generator)
        let images = images(2)
        // The loss depends on hidden pixels through standardized targets, which a scale and a shift leave alone.
        func changed(patch: Int) -> Tensor {
            var values = images.floats()
            for channel in 0..<3 {
                for row in 0..<4 {
                    for column in 0..<4 {
                        let place = (channel * 8 + row + patch / 2 * 4) * 8 + column + patch % 2 * 4
                        values[place] = 2 * values[place] + 1
                    }
                }
            }
            return Tensor(values, shape: images.shape)
        }
        let loss = network.loss(batch(images)).scalar
        #expect(abs(network.loss(batch(changed(patch: 0))).scalar - loss) < 1e-4)
        #expect(abs(network.loss(batch(changed(patch: 1))).scalar - loss) > 1e-3)
    }

    @Test func bothHeadsShareTheEncoder() throws {
        let (filled, classifier) = (
            MaskedPatchNetwork(try configuration(), seed: 3), VisionTransformer(try configuration(), seed: 9)
        )
        Snapshot(of: filled.encoder).restore(classifier.encoder)
        let own = Dictionary(uniqueKeysWithValues: classifier.parameters.map { ($0.name, $0.parameter.wrappedValue) })
        for (name, parameter) in filled.parameters where name != "mask_token" && !name.hasPrefix("decoder") {
            #expect(own[name]?.floats() == parameter.wrappedValue.floats(), "\(name)")
        }
        #expect(filled.outputs(images(2)).shape == [2, 4, 48])
        let slopes = gradients(
            of: filled.loss(batch(images(2))), withRespectTo: filled.parameters.map(\.parameter.wrappedValue))
        for ((name, _), slope) in zip(filled.parameters, slopes) {
            #expect(slope.floats().contains { $0 != 0 }, "\(name)")
        }
    }
}
