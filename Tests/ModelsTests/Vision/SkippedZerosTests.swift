import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Testing

/// Networks in use that skip the zeros of their weights.
@Suite struct SkippedZerosTests {
    /// A network of which about a part of each convolution's and linear layer's weights is kept.
    private func network(_ name: String, keeping part: Double) throws -> any VisionNetwork {
        let network = try VisionArchitecture(named: name, widthMultiplier: 0.25).makeNetwork(seed: 1)
        var generator = RandomGenerator(seed: 2)
        for (_, parameter) in network.parameters where parameter.wrappedValue.rank >= 2 {
            let kept = Tensor.bernoulli(parameter.wrappedValue.shape, probability: part, using: &generator)
            // As large together as the dense weights, so that outputs do not die out.
            parameter.wrappedValue = parameter.wrappedValue.detached() * kept / max(part, 0.1).squareRoot()
        }
        return network
    }

    @Test(arguments: [
        "resnet20", "resnet20-projected", "wrn-16-4", "vgg11-bn", "mobilenet-v1", "mobilenet-v2", "shufflenet-v2",
        "densenet-bc-40-12", "lenet-5",
    ])
    func outputsAreThoseOfAllWeights(name: String) throws {
        let network = try network(name, keeping: 0.15)
        #expect(!SparseProducts(skippingZerosOf: network).isEmpty)
        var generator = RandomGenerator(seed: 3)
        let images = Tensor.normal([5] + network.configuration.inputShape, using: &generator)
        let dense = network.inUse { network.outputs(images) }
        let sparse = network.inUseSkippingZeros { network.outputs(images) }
        let scale = dense.abs().maximum().doubles()[0]
        #expect(scale > 0 && (sparse - dense).abs().maximum().doubles()[0] / scale < 1e-4)
    }

    /// Weights that are not zero are all there: nothing to skip. Nor does anything change then.
    @Test func denseNetworksAreAsTheyWere() throws {
        let network = try network("resnet20", keeping: 0.5)
        #expect(SparseProducts(skippingZerosOf: network).isEmpty)
        let images = Tensor.ones([2] + network.configuration.inputShape)
        let dense = network.inUse { network.outputs(images) }
        #expect(network.inUseSkippingZeros { network.outputs(images) }.floats() == dense.floats())
    }

    /// The convolutions' zeros are skipped indeed: they do not meet an image of infinities.
    @Test func zerosMeetNothing() throws {
        let network = try network("resnet20", keeping: 0)
        let images = Tensor.full([1] + network.configuration.inputShape, .infinity)
        #expect(network.inUse { network.outputs(images) }.floats().contains { $0.isNaN })
        #expect(network.inUseSkippingZeros { network.outputs(images) }.floats().allSatisfy { $0.isFinite })
    }

    /// Large linear layers go by their kept weights alone.
    @Test func linearLayersSkipToo() throws {
        let network = try VisionArchitecture(named: "lenet-300-100").makeNetwork(seed: 1)
        var generator = RandomGenerator(seed: 2)
        for (_, parameter) in network.parameters where parameter.wrappedValue.rank == 2 {
            let kept = Tensor.bernoulli(parameter.wrappedValue.shape, probability: 0.05, using: &generator)
            parameter.wrappedValue = parameter.wrappedValue.detached() * kept
        }
        let images = Tensor.normal([40] + network.configuration.inputShape, using: &generator)
        let dense = network.inUse { network.outputs(images) }
        let sparse = network.inUseSkippingZeros { network.outputs(images) }
        #expect((sparse - dense).abs().maximum().doubles()[0] < 1e-5)
        #expect(SparseProducts(skippingZerosOf: network).skippedCount(rows: 64) > 0)
    }
}
