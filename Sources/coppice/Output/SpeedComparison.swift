import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining

/// How fast two networks are trained and used on this machine, on 32 images of noise.
struct SpeedComparison {
    private let before: NetworkSpeed
    private let after: NetworkSpeed

    init(_ before: any VisionNetwork, _ after: any VisionNetwork, seed: UInt64) throws {
        func speed(of network: any VisionNetwork) throws -> NetworkSpeed {
            var generator = RandomGenerator(seed: seed)
            let count = 32
            let inputs = Tensor.normal([count] + network.configuration.inputShape, using: &generator)
            let targets = Tensor((0..<count).map { $0 % network.configuration.classes })
            return try NetworkSpeed(of: network, on: LabeledBatch(inputs: inputs, targets: targets))
        }
        self.before = try speed(of: before)
        self.after = try speed(of: after)
    }

    var json: JSON {
        .object([
            "training_step_before": .number(before.trainingStep), "training_step_after": .number(after.trainingStep),
            "inference_before": .number(before.inference), "inference_after": .number(after.inference),
        ])
    }

    var text: String {
        let training = Output.number(before.trainingStep / after.trainingStep)
        let inference = Output.number(before.inference / after.inference)
        return "training steps \(training) times as fast, passes \(inference) times"
    }
}
