import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation
import Testing

/// Every architecture against PyTorch, with parameters that a formula gives.
@Suite struct VisionParityTests {
    struct Case: Decodable, CustomTestStringConvertible, Sendable {
        var shape: [Int]
        var scores: [Double]
        var loss: Double
        var gradients: [String: [Double]]
        var used_scores: [Double]
        var name = ""
        var testDescription: String { name }

        enum CodingKeys: String, CodingKey { case shape, scores, loss, gradients, used_scores }
    }

    static let cases: [(Case, VisionArchitecture)] = {
        // A fixture that cannot be read fails every test that is given its cases.
        let data = FileManager.default.contents(atPath: fixtures + "/vision/architectures.json")!
        let cases = try! JSONDecoder().decode([Case].self, from: data)
        let json = try! JSON(parsing: data, source: "architectures.json")
        return cases.enumerated().map { index, item in
            var item = item
            let architecture = try! VisionArchitecture(json: json[index]!["configuration"]!, source: "fixture")
            item.name = architecture.name
            return (item, architecture)
        }
    }()

    @Test func allFamiliesAreHere() {
        let names = Self.cases.map(\.1.name)
        for family in [
            "lenet-300", "lenet-5", "vgg", "resnet", "wrn", "mobilenet-v1", "mobilenet-v2", "shufflenet", "densenet",
            "fastgrnn", "vit",
        ] { #expect(names.contains { $0.hasPrefix(family) }, "\(family)") }
    }

    private func wave(_ shape: [Int], _ phase: Double, _ scale: Double) -> Tensor {
        Tensor((0..<shape.reduce(1, *)).map { scale * sin(0.7 * Double($0) + phase) }, shape: shape)
    }

    private func difference(_ tensor: Tensor, _ reference: [Double]) -> Double {
        guard tensor.count == reference.count else { return .infinity }
        let scale = reference.reduce(1) { max($0, abs($1)) }
        return zip(tensor.doubles(), reference).reduce(0) { max($0, abs($1.0 - $1.1) / scale) }
    }

    private func network(
        _ architecture: VisionArchitecture, _ type: DataType
    ) -> (any VisionNetwork, [(name: String, parameter: Parameter)]) {
        let network = architecture.makeNetwork(seed: 1)
        let parameters = network.parameters.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        for (index, (_, parameter)) in parameters.enumerated() {
            let shape = parameter.wrappedValue.shape
            let fan = shape.dropFirst().reduce(1, *)
            let own = wave(shape, Double(index), min(0.8, 3 / Double(fan).squareRoot())) + (shape.count == 1 ? 1 : 0)
            parameter.wrappedValue = own.converted(to: type)
        }
        for (name, state) in network.stateTensors where !name.hasSuffix("num_batches_tracked") {
            state.wrappedValue = state.wrappedValue.converted(to: type)
        }
        return (network, parameters)
    }

    private func inputs(_ shape: [Int], _ type: DataType) -> Tensor {
        let scales = Tensor([0.5, 1, 1.5, 2], shape: [4] + shape.dropFirst().map { _ in 1 })
        return (wave(shape, 0.5, 1) * scales).converted(to: type)
    }

    @Test(arguments: cases.indices) func equalsPyTorch(index: Int) throws {
        let (item, architecture) = Self.cases[index]
        #expect([4] + architecture.inputShape == item.shape)
        let (network, parameters) = network(architecture, .f64)
        #expect(Set(parameters.map(\.name)) == Set(item.gradients.keys))
        let images = inputs(item.shape, .f64)
        let scores = network.outputs(images)
        #expect(difference(scores, item.scores) < 1e-7)
        let batch = LabeledBatch(inputs: images, targets: Tensor([0, 2, 1, 2]))
        let loss = scores.meanCrossEntropy(targets: batch.targets)
        #expect(abs(loss.doubles()[0] - item.loss) < 1e-7)
        let slopes = gradients(of: loss, withRespectTo: parameters.map(\.parameter.wrappedValue))
        for (index, (name, _)) in parameters.enumerated() {
            let flat = slopes[index].reshaped([-1]).converted(to: .f64)
            let probe = wave([flat.count], Double(index) + 0.25, 1)
            let found = [flat.square().sum().squareRoot().doubles()[0], (flat * probe).sum().doubles()[0]]
            #expect(difference(Tensor(found), item.gradients[name] ?? []) < 1e-6, "\(name)")
        }
        let used = network.inUse { network.outputs(images) }
        #expect(difference(used, item.used_scores) < 1e-7)
    }

    /// The kernels of f32 differ from those of f64.
    @Test(arguments: cases.indices) func equalsPyTorchInSinglePrecision(index: Int) throws {
        let (item, architecture) = Self.cases[index]
        let (network, _) = network(architecture, .f32)
        let images = inputs(item.shape, .f32)
        #expect(difference(network.outputs(images), item.scores) < 1e-2)
        #expect(difference(network.inUse { network.outputs(images) }, item.used_scores) < 1e-2)
    }
}
