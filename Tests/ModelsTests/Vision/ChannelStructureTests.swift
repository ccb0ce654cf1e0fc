import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Testing

@Suite struct ChannelStructureTests {
    /// Names with other widths at random: lower than the architecture's, streams in order.
    private func cut(_ structure: ChannelStructure, seed: UInt64) -> [Int] {
        var generator = RandomGenerator(seed: seed)
        var widths = structure.widths.map {
            max(1, Int(Double($0) * (0.4 + 0.5 * Double(generator.next() % 100) / 100)))
        }
        for (lower, upper) in structure.ascents { widths[upper] = max(widths[upper], widths[lower]) }
        return widths
    }

    @Test(arguments: [
        "resnet20", "resnet20-projected", "resnet50", "wrn-16-4", "vgg16-bn", "vgg11-bn-imagenet", "lenet-5",
        "lenet-300-100", "mobilenet-v1", "mobilenet-v2", "shufflenet-v2-1.0", "densenet-bc-40-12", "densenet121",
        "vit-2-24-p8",
    ])
    func parametersAreThoseOfTheNetwork(name: String) throws {
        let structure = try ChannelStructure(VisionArchitecture(named: name))
        #expect(structure.parameterCount(structure.widths) == structure.architecture.parameterCount)
        let widths = cut(structure, seed: 3)
        let other = try structure.resized(widths)
        #expect(Array(other.widths.values) == widths)
        #expect(structure.parameterCount(widths) == other.parameterCount)
        #expect(structure.multiplications(widths) == (try ChannelStructure(other).multiplications(widths)))
    }

    /// Multiply-accumulates as they are usually given.
    @Test(arguments: [
        ("resnet20", 40_551_040), ("resnet50", 4_089_184_256), ("vgg16-bn", 313_201_664), ("mobilenet-v2", 300_774_272),
        ("lenet-300-100", 266_200), ("densenet121", 2_834_161_664), ("vit-ti-16", 1_074_851_328),
    ])
    func multiplicationsAreThoseOfThePapers(name: String, expected: Int) throws {
        let structure = try ChannelStructure(VisionArchitecture(named: name))
        #expect(structure.multiplications(structure.widths) == expected)
    }

    /// Matrices of a recurrent cell are multiplied with in every step.
    @Test func recurrentWeightsAreUsedInEveryStep() throws {
        #expect(
            try VisionArchitecture(named: "fastgrnn-8-u3").weightUses
                == ["cell.W": 128, "cell.U1": 128, "cell.U2": 128, "fc.weight": 1])
    }

    @Test(
        arguments: [
            "resnet20", "resnet20-projected", "wrn-16-4", "vgg11-bn", "lenet-5", "lenet-300-100", "mobilenet-v1-cifar",
            "mobilenet-v2-cifar", "densenet-bc-40-12", "resnet-2-1-2-1-bottleneck-cifar", "resnet-2-2-2-bottleneck",
            "vit-2-24-p8",
        ], [1, 2, 3, 4] as [UInt64])
    func aCroppedNetworkIsTheFullOneWithoutItsChannels(name: String, seed: UInt64) throws {
        let structure = try ChannelStructure(VisionArchitecture(named: name, widthMultiplier: 0.5))
        let cropping = try ChannelCropping(structure, to: cut(structure, seed: seed))
        let network = structure.architecture.makeNetwork(seed: seed)
        var generator = RandomGenerator(seed: seed)
        // Statistics and shifts that are not those of a new network.
        for (_, parameter) in network.parameters where parameter.wrappedValue.rank == 1 {
            let noise = Tensor.normal(parameter.wrappedValue.shape, using: &generator)
            parameter.wrappedValue = parameter.wrappedValue.detached() + noise * 0.1
        }
        for (_, state) in network.stateTensors where state.wrappedValue.rank == 1 {
            state.wrappedValue =
                state.wrappedValue + Tensor.normal(state.wrappedValue.shape, using: &generator).abs() * 0.1
        }
        let small = cropping(network)
        cropping.silence(network)
        let images = Tensor.normal([2] + structure.architecture.inputShape, using: &generator)
        let (whole, part) = (network.inUse { network.outputs(images) }, small.inUse { small.outputs(images) })
        let scale = max(1, whole.abs().maximum().doubles()[0])
        #expect((whole - part).abs().maximum().doubles()[0] / scale < 1e-5)
        let found = try VisionArchitecture(small.configuration)
        #expect(found == cropping.architecture)
    }

    @Test func shuffledChannelsCannotBeCropped() throws {
        let structure = try ChannelStructure(VisionArchitecture(named: "shufflenet-v2-0.5"))
        #expect {
            try ChannelCropping(structure, to: structure.widths.map { max(1, $0 / 2) })
        } throws: { "\($0)".contains("shuffled") }
    }

    @Test func wideningIsNoCropping() throws {
        let structure = try ChannelStructure(VisionArchitecture(named: "lenet-300-100"))
        #expect {
            try ChannelCropping(structure, to: structure.widths.map { $0 + 1 })
        } throws: { ($0 as? CoppiceError)?.field == "widths.fc1" }
    }
}
