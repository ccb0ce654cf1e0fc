import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import OrderedCollections

/// How fast two networks are trained and used on this machine, and how much memory and energy that takes, on images of
/// noise.
struct SpeedComparison {
    /// Images of a step and a pass.
    static let images = 32

    private let before: NetworkSpeed
    private let after: NetworkSpeed
    /// What the machine draws; nil: no energy.
    private let watts: Double?

    /// - Parameter seed: of the noise, which both see; they take turns.
    init(_ before: any VisionNetwork, _ after: any VisionNetwork, seed: UInt64, watts: Double? = nil) throws {
        let targets = Tensor((0..<Self.images).map { $0 % before.configuration.classes })
        let speeds = try NetworkSpeed.inTurns(
            [before, after], on: LabeledBatch(inputs: Self.noise(for: before, seed: seed), targets: targets),
            repetitions: 11)
        (self.before, self.after) = (speeds[0], speeds[1])
        self.watts = watts
    }

    /// Images of noise.
    static func noise(for network: any VisionNetwork, seed: UInt64) -> Tensor {
        var generator = RandomGenerator(seed: seed)
        return .normal([images] + network.configuration.inputShape, using: &generator)
    }

    /// How many times faster a training step became, beside how many times fewer the multiplications are. A shallower
    /// network is expected to have at least 0.85 of that in time (Jordao et al., "When layers play the lottery, all
    /// tickets win at initialization", 2023).
    struct Gain {
        static let expectedPart = 0.85

        var trainingStep: Double
        var multiplications: Double

        private var expected: Double { Self.expectedPart * multiplications }

        /// `training_step_ratio`, `multiplications_ratio`, `expected_ratio`.
        var json: OrderedDictionary<String, JSON> {
            [
                "training_step_ratio": .number(trainingStep), "multiplications_ratio": .number(multiplications),
                "expected_ratio": .number(expected),
            ]
        }

        var text: String {
            "training steps are \(Output.number(trainingStep)) times as fast; with "
                + "\(Output.number(multiplications)) times fewer multiplications at least "
                + "\(Output.number(Self.expectedPart)) of that, \(Output.number(expected)), is expected: "
                + (trainingStep >= expected ? "reached" : "not reached")
        }
    }

    /// - Parameter change: of the multiplications for one example, before and after.
    func gain(_ change: (before: NetworkCost, after: NetworkCost)) -> Gain {
        Gain(
            trainingStep: before.trainingStep / after.trainingStep,
            multiplications: Double(change.before.multiplyAccumulates)
                / Double(max(1, change.after.multiplyAccumulates)))
    }

    /// `seconds`, `bytes` and, where the power is known, `watts` and `joules`.
    var json: OrderedDictionary<String, JSON> {
        func members(_ scale: Double) -> JSON {
            .object([
                "training_step_before": .number(before.trainingStep * scale),
                "training_step_after": .number(after.trainingStep * scale),
                "inference_before": .number(before.inference * scale),
                "inference_after": .number(after.inference * scale),
            ])
        }
        var json: OrderedDictionary<String, JSON> = [
            "seconds": members(1),
            "bytes": .object([
                "training_step_before": .integer(before.trainingBytes),
                "training_step_after": .integer(after.trainingBytes),
                "inference_before": .integer(before.inferenceBytes),
                "inference_after": .integer(after.inferenceBytes),
            ]),
        ]
        if let watts { (json["watts"], json["joules"]) = (.number(watts), members(watts)) }
        return json
    }

    var text: String {
        func milliseconds(_ seconds: Double) -> String { Output.number(seconds * 1e3) + " ms" }
        func row(_ name: String, _ old: Double, _ new: Double, _ bytes: (Int, Int)) -> String {
            var line =
                "\(name) of \(Self.images) images: \(milliseconds(old)) → \(milliseconds(new)) "
                + "(\(Output.number(old / new)) times as fast), memory \(Output.bytes(bytes.0)) → "
                + Output.bytes(bytes.1)
            if let watts {
                line += ", energy \(Output.number(old * watts)) J → \(Output.number(new * watts)) J"
            }
            return line
        }
        var lines = [
            row(
                "training step", before.trainingStep, after.trainingStep, (before.trainingBytes, after.trainingBytes)),
            row("pass", before.inference, after.inference, (before.inferenceBytes, after.inferenceBytes)),
        ]
        if let watts { lines.append("energy is the time at \(Output.number(watts)) W, an estimate") }
        return lines.joined(separator: "\n")
    }
}
