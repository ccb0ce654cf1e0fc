import CoppiceInference
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import OrderedCollections

/// How fast a language model and what is left of it are trained, read a prompt and write on this machine, and how much
/// memory and energy that takes.
struct DecoderSpeedComparison {
    /// Of one of them.
    private struct Measurement {
        var training: NetworkSpeed
        var prompt: Double
        var token: Double
        var weightBytes: Int
        var cacheBytes: Int

        var seconds: [(name: String, seconds: Double)] {
            [("training_step", training.trainingStep), ("prompt", prompt), ("token", token)]
        }

        var bytes: [(name: String, bytes: Int)] {
            [
                ("training_step", training.trainingBytes), ("weights_per_token", weightBytes),
                ("cache_per_token", cacheBytes),
            ]
        }
    }

    private let before: Measurement
    private let after: Measurement
    private let prompt: Int
    private let watts: Double

    /// - Parameter prompt: tokens of a prompt, and of the window of a training step.
    init(
        _ checkpoint: Checkpoint, _ network: DecoderNetwork, _ removal: DecoderBlockRemoval, prompt: Int, watts: Double
    ) throws {
        var generator = RandomGenerator(seed: 1)
        let tokens = (0..<prompt).map { _ in
            Int.random(in: 0..<checkpoint.configuration.vocabularySize, using: &generator)
        }
        let shape = [1, prompt]
        let batch = LabeledBatch(
            inputs: Tensor(tokens, shape: shape), targets: Tensor(tokens.dropFirst() + [-1], shape: shape))
        func measurement(_ network: DecoderNetwork, _ model: LanguageModel) throws -> Measurement {
            let (prompt, token) = try Self.reading(of: model, prompt: prompt)
            return Measurement(
                training: try NetworkSpeed(of: network, on: batch), prompt: prompt, token: token,
                weightBytes: model.weightBytesPerToken, cacheBytes: model.makeCache(capacity: 1).bytesPerPosition)
        }
        before = try measurement(network, LanguageModel(checkpoint))
        after = try measurement(removal(network), Self.model(checkpoint, removal))
        self.prompt = prompt
        self.watts = watts
    }

    /// What is left of a model.
    static func model(_ checkpoint: Checkpoint, _ removal: DecoderBlockRemoval) throws -> LanguageModel {
        try LanguageModel(
            removal.configuration, weights: RemainingWeights(checkpoint, removal), source: checkpoint.path)
    }

    /// Seconds of reading a prompt, and of writing a token behind it.
    static func reading(of model: LanguageModel, prompt: Int) throws -> (prompt: Double, token: Double) {
        let length = min(prompt, model.maximumContext - 1)
        var benchmark = ThroughputBenchmark(
            promptTokens: length, generatedTokens: min(16, model.maximumContext - length), repetitions: 5)
        benchmark.bandwidthBytes = 1 << 20
        let result = try benchmark.run(model)
        return (Double(length) / result.prefillTokensPerSecond, 1 / result.decodeTokensPerSecond)
    }

    /// `seconds`, `bytes`, `watts` and `joules`.
    var json: OrderedDictionary<String, JSON> {
        func both(_ name: String, _ old: JSON, _ new: JSON) -> [(String, JSON)] {
            [(name + "_before", old), (name + "_after", new)]
        }
        func seconds(_ scale: Double) -> JSON {
            let fields = zip(before.seconds, after.seconds).flatMap { old, new in
                both(old.name, .number(old.seconds * scale), .number(new.seconds * scale))
            }
            return .object(OrderedDictionary(uniqueKeysWithValues: fields))
        }
        let bytes = zip(before.bytes, after.bytes).flatMap { old, new in
            both(old.name, .integer(old.bytes), .integer(new.bytes))
        }
        return [
            "seconds": seconds(1), "bytes": .object(OrderedDictionary(uniqueKeysWithValues: bytes)),
            "watts": .number(watts), "joules": seconds(watts),
        ]
    }

    var text: String {
        let names = ["training step of a window of \(prompt) tokens", "reading \(prompt) tokens", "writing a token"]
        var lines = zip(names, zip(before.seconds, after.seconds)).map { name, times in
            let (old, new) = (times.0.seconds, times.1.seconds)
            return "\(name): \(Output.number(old * 1e3)) ms → \(Output.number(new * 1e3)) ms "
                + "(\(Output.number(old / new)) times as fast), energy \(Output.number(old * watts)) J → "
                + "\(Output.number(new * watts)) J"
        }
        let memory = zip(
            ["a training step", "weights read for a token", "cache of a token"], zip(before.bytes, after.bytes))
        lines.append(
            "memory: "
                + memory.map { "\($0) \(Output.bytes($1.0.bytes)) → \(Output.bytes($1.1.bytes))" }.joined(
                    separator: ", "))
        lines.append("energy is the time at \(Output.number(watts)) W, an estimate")
        return lines.joined(separator: "\n")
    }
}
