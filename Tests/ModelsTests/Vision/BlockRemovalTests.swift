import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Testing

@Suite struct BlockRemovalTests {
    @Test func removableBlocksAreThoseOfTheReading() throws {
        let blocks = try BlockRemoval.blocks(of: VisionArchitecture(named: "resnet32"))
        #expect(blocks.count == 15)
        #expect(blocks.count(where: RemovableBlocks.shape.contains) == 13)
        #expect(blocks.count(where: RemovableBlocks.strict.contains) == 11)
        let wide = try BlockRemoval.blocks(of: VisionArchitecture(named: "wrn-16-4"))
        #expect(
            wide.filter(RemovableBlocks.shape.contains).map(\.name) == [
                "block1.layer.1", "block2.layer.1", "block3.layer.1",
            ])
        let deep = try BlockRemoval.blocks(of: VisionArchitecture(named: "resnet50"))
        #expect(deep.count == 16 && !deep[0].keepsShape)
    }

    @Test(arguments: [
        ("resnet20", ["layer1.0", "layer2.2", "layer3.1"]), ("resnet20", ["layer1.0", "layer1.1", "layer1.2"]),
        ("resnet20-projected", ["layer3.1", "layer3.2"]), ("wrn-22-8", ["block1.layer.1", "block3.layer.2"]),
        ("resnet50-cifar", ["layer1.1", "layer3.2", "layer3.5"]), ("vit-4-96-p8", ["blocks.0", "blocks.2"]),
    ])
    func aShallowerNetworkIsTheWholeOneWithoutItsBranches(name: String, blocks: [String]) throws {
        let plain = try VisionArchitecture(named: name, widthMultiplier: 0.25)
        // A block that stays and one that goes have widths of their own.
        let inner = plain.widths.keys.filter { ($0.hasSuffix("conv1") && $0.contains("layer")) || $0.hasSuffix("fc1") }
        let widths = Dictionary(uniqueKeysWithValues: inner.enumerated().map { ($0.element, 3 + $0.offset % 4) })
        let architecture = try VisionArchitecture(named: name, widthMultiplier: 0.25, widths: widths)
        let removal = try BlockRemoval(of: blocks, from: architecture)
        let network = architecture.makeNetwork(seed: 5)
        var generator = RandomGenerator(seed: 6)
        for (_, parameter) in network.parameters where parameter.wrappedValue.rank == 1 {
            let noise = Tensor.normal(parameter.wrappedValue.shape, using: &generator)
            parameter.wrappedValue = parameter.wrappedValue.detached() + noise * 0.1
        }
        let shallow = removal(network)
        #expect(shallow.parameterCount < network.parameterCount)
        #expect(try VisionArchitecture(shallow.configuration) == removal.architecture)
        removal.silence(network)
        let images = Tensor.normal([4, 3, 32, 32], using: &generator)
        for isTraining in [false, true] {
            let outputs = { (network: any VisionNetwork) in
                withoutRecording {
                    network.keepingState { network.withTraining(isTraining) { network.outputs(images) } }
                }
            }
            let (whole, part) = (outputs(network), outputs(shallow))
            let scale = max(1, whole.abs().maximum().doubles()[0])
            #expect((whole - part).abs().maximum().doubles()[0] / scale < 1e-5, "training: \(isTraining)")
        }
    }

    @Test func whatCannotBeRemovedIsSaid() throws {
        let architecture = try VisionArchitecture(named: "resnet20")
        #expect { try BlockRemoval(of: ["layer2.0"], from: architecture) } throws: { "\($0)".contains("another shape") }
        #expect { try BlockRemoval(of: ["layer1.5"], from: architecture) } throws: { "\($0)".contains("is no block") }
        #expect {
            try BlockRemoval(of: ["x"], from: VisionArchitecture(named: "vgg11-bn"))
        } throws: { "\($0)".contains("no identity path") }
    }
}
