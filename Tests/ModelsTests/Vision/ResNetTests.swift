import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation
import Testing

@Suite struct ResNetTests {
    @Test(arguments: [(20, 269_722), (32, 464_154), (56, 853_018)])
    func sizesOfThePaper(depth: Int, parameters: Int) throws {
        let network = try ResNet(.cifar(depth: depth))
        #expect(network.parameterCount == parameters && network.configuration.depth == depth)
        network.setTraining(false)
        let images = Tensor.ones([2, 3, 32, 32])
        #expect(withoutRecording { network(images) }.shape == [2, 10])
    }

    @Test func namesOfTorchvision() throws {
        let names = try ResNet(.cifar(depth: 20, shortcut: .projected)).parameters.map(\.name)
        for name in [
            "conv1.weight", "bn1.weight", "bn1.bias", "layer1.2.conv2.weight", "layer2.0.downsample.0.weight",
            "layer2.0.downsample.1.bias", "layer3.2.bn2.weight", "fc.weight", "fc.bias",
        ] { #expect(names.contains(name), "\(name)") }
        #expect(!names.contains { $0.hasPrefix("layer1.0.downsample") || $0.hasPrefix("layer2.1.downsample") })
        #expect(try !ResNet(.cifar(depth: 20)).parameters.contains { $0.name.contains("downsample") })
    }

    @Test(arguments: [18, 2, 0, -4, 21]) func depthsThatAreNone(depth: Int) {
        #expect { _ = try ResNet.Configuration.cifar(depth: depth) } throws: {
            ($0 as? CoppiceError)?.kind == .usage && "\($0)".hasPrefix("depth: \(depth), expected 6n + 2")
        }
    }

    @Test func otherSizesOfImages() {
        let network = ResNet(ResNet.Configuration(blocks: 1, width: 6, inputChannels: 1, classes: 4))
        for (rows, columns) in [(1, 1), (7, 5), (28, 28)] {
            #expect(network(Tensor.ones([3, 1, rows, columns])).shape == [3, 4])
        }
    }

    @Test func learnsALittle() {
        let network = ResNet(ResNet.Configuration(blocks: 1, width: 8, classes: 3), seed: 3)
        var generator = RandomGenerator(seed: 5)
        let images = Tensor.normal([12, 3, 8, 8], using: &generator)
        let classes = Tensor((0..<12).map { $0 % 3 })
        let optimizer = SGD(momentum: 0.9, weightDecay: 1e-4)
        let parameters = network.parameters.map(\.parameter)
        var velocities = parameters.map { Tensor.zeros($0.wrappedValue.shape) }
        var losses: [Float] = []
        for _ in 0..<25 {
            let loss = network.loss(images, classes: classes)
            losses.append(loss.scalar)
            let slopes = gradients(of: loss, withRespectTo: parameters.map(\.wrappedValue))
            for (index, parameter) in parameters.enumerated() {
                optimizer.update(parameter, gradient: slopes[index], velocity: &velocities[index], learningRate: 0.05)
            }
        }
        #expect(losses[0] > 0.5 && losses[24] < 0.2 * losses[0])
    }

    // MARK: PyTorch

    struct Case: Decodable, CustomTestStringConvertible, Sendable {
        var blocks: Int
        var shortcut: String
        var scores: [Double]
        var loss: Double
        var gradients: [String: [Double]]
        var input_gradient: [Double]
        var state: [String: [Double]]
        var used_scores: [Double]
        var testDescription: String { "\(blocks) blocks, \(shortcut)" }
    }

    static let cases: [Case] = {
        // A fixture that cannot be read fails every test that is given its cases.
        let data = FileManager.default.contents(atPath: fixtures + "/vision/resnet.json")!
        return try! JSONDecoder().decode([Case].self, from: data)
    }()

    private func wave(_ shape: [Int], _ phase: Double, _ scale: Double) -> Tensor {
        Tensor((0..<shape.reduce(1, *)).map { scale * sin(0.7 * Double($0) + phase) }, shape: shape)
    }

    private func difference(_ tensor: Tensor, _ reference: [Double]) -> Double {
        guard tensor.count == reference.count else { return .infinity }
        return zip(tensor.doubles(), reference).reduce(0) { max($0, abs($1.0 - $1.1) / max(1, abs($1.1))) }
    }

    @Test(arguments: cases, [DataType.f64, .f32]) func equalsPyTorch(item: Case, type: DataType) throws {
        let bound = type == .f64 ? 1e-8 : 2e-3
        let network = ResNet(
            ResNet.Configuration(
                blocks: item.blocks, width: 4, classes: 3, shortcut: try #require(.init(rawValue: item.shortcut))))
        for (index, (_, parameter)) in network.parameters.enumerated() {
            let shape = parameter.wrappedValue.shape
            let own = wave(shape, Double(index), 0.3) + (shape.count == 1 ? 1 : 0)
            parameter.wrappedValue = own.converted(to: type)
        }
        for (name, state) in network.stateTensors where !name.hasSuffix("num_batches_tracked") {
            state.wrappedValue = state.wrappedValue.converted(to: type)
        }
        let scales = Tensor([0.5, 1, 1.5, 2], shape: [4, 1, 1, 1])
        let images = (wave([4, 3, 9, 8], 0.5, 1) * scales).converted(to: type).tracked()
        let scores = network(images)
        #expect(difference(scores, item.scores) < bound)
        let loss = scores.crossEntropy(targets: Tensor([0, 2, 1, 2])).mean()
        #expect(abs(loss.doubles()[0] - item.loss) < bound)
        let parameters = network.parameters
        #expect(Set(parameters.map(\.name)) == Set(item.gradients.keys))
        let slopes = gradients(of: loss, withRespectTo: [images] + parameters.map(\.parameter.wrappedValue))
        let seen = slopes[0].slice([
            AxisSlice(0..<4), AxisSlice(0..<3), AxisSlice(start: 0, count: 3, step: 4),
            AxisSlice(start: 0, count: 3, step: 3),
        ])
        #expect(difference(seen, item.input_gradient) < bound)
        for (index, (name, _)) in parameters.enumerated() {
            let flat = slopes[index + 1].reshaped([-1]).converted(to: .f64)
            let probe = wave([flat.count], Double(index) + 0.25, 1)
            let found = [flat.square().sum().squareRoot().doubles()[0], (flat * probe).sum().doubles()[0]]
            #expect(difference(Tensor(found), item.gradients[name] ?? []) < bound, "\(name)")
        }
        for (name, state) in network.stateTensors where !name.hasSuffix("num_batches_tracked") {
            #expect(difference(state.wrappedValue, item.state[name] ?? []) < bound, "\(name)")
        }
        network.setTraining(false)
        #expect(difference(network(images), item.used_scores) < bound)
    }

    @Test func checkpointsWithAnotherHeadName() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "resnet-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let network = ResNet(ResNet.Configuration(blocks: 1, width: 2, classes: 3), seed: 8)
        var tensors = network.parameters.map { ($0.name, $0.parameter.wrappedValue) }
        tensors += network.stateTensors.filter { !$0.name.hasSuffix("tracked") }.map {
            ($0.name, $0.state.wrappedValue)
        }
        let path = folder.appending(path: "model.safetensors").path
        try SafetensorsWriter.write(
            tensors.map { .init($0.0.replacing("fc.", with: "linear."), $0.1) }, to: path)
        let other = ResNet(ResNet.Configuration(blocks: 1, width: 2, classes: 3), seed: 9)
        try other.load(SafetensorsFile(path: path))
        #expect(other.classifier.weight.floats() == network.classifier.weight.floats())
        #expect(
            other.stages[2].wrappedValue[0].units[1].wrappedValue.convolution.weight.floats()
                == network.stages[2].wrappedValue[0].units[1].wrappedValue.convolution.weight.floats())
        try SafetensorsWriter.write(
            tensors.filter { $0.0 != "layer2.0.conv1.weight" }.map { .init($0.0, $0.1) }, to: path)
        #expect { try other.load(SafetensorsFile(path: path)) } throws: {
            ($0 as? CoppiceError)?.kind == .badData
                && "\($0)".hasSuffix("layer2.0.conv1.weight: is missing, resnet8 has it")
        }
    }

    /// Trained networks and their scores, in the folder that COPPICE_DATA names.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["COPPICE_DATA"] != nil), arguments: [20, 32])
    func trainedNetworks(depth: Int) throws {
        struct Golden: Decodable {
            var mean: [Double]
            var std: [Double]
            var labels: [Int]
            var logits: [[Double]]
        }
        let data = try #require(ProcessInfo.processInfo.environment["COPPICE_DATA"])
        let name = data + "/resnet-cifar/resnet\(depth)"
        let network = try ResNet(.cifar(depth: depth))
        try network.load(SafetensorsFile(path: name + ".safetensors"))
        network.setTraining(false)
        let bytes = try #require(FileManager.default.contents(atPath: name + "_golden.json"))
        let golden = try JSONDecoder().decode(Golden.self, from: bytes)
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["gzip", "-dc", data + "/cifar10-lossless/train3k.bin.gz"]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let records = [UInt8](pipe.fileHandleForReading.readDataToEndOfFile())
        process.waitUntilExit()
        let images = golden.logits.indices.flatMap { image in
            (0..<3072).map { place in
                let value = Float(records[image * 3073 + 1 + place]) / 255
                return (value - Float(golden.mean[place / 1024])) / Float(golden.std[place / 1024])
            }
        }
        let scores = withoutRecording { network(Tensor(images, shape: [golden.logits.count, 3, 32, 32])) }
        #expect(difference(scores, golden.logits.flatMap { $0 }) < 1e-3)
        #expect(scores.argmax().integers().enumerated().filter { $1 == golden.labels[$0] }.count >= 19)
    }
}
