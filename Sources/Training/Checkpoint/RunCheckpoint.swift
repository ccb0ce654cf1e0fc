import CoppiceModels
import CoppiceTensors
import Foundation

/// The state that a training run keeps to resume from, as a network: the weights of the step at which the run
/// was interrupted or wrote its last checkpoint.
public struct RunCheckpoint: Sendable {
    /// The run's folder, `OUTPUT.run`.
    public let path: String
    /// Optimizer steps behind the weights.
    public let step: Int

    private struct Saved: Decodable {
        struct State: Decodable {
            var step: Int
        }

        var state: State
    }

    /// Whether there is the folder of a run.
    public static func isRun(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path + "/run.json") }

    /// - Throws: `.noInput` for a run without a checkpoint, `.badData` for one that is damaged.
    public init(_ path: String) throws {
        let file = path + "/latest/state.json"
        guard let data = FileManager.default.contents(atPath: file) else {
            throw CoppiceError(.noInput, source: path, "the run has no checkpoint yet, expected \(file)")
        }
        guard let saved = try? JSONDecoder().decode(Saved.self, from: data) else {
            throw CoppiceError(.badData, source: file, "is damaged, expected what an earlier training run wrote")
        }
        self.path = path
        step = saved.state.step
    }

    /// Puts the weights and running statistics into a network of the run's architecture.
    ///
    /// - Throws: `.badData` naming the tensor that is missing or does not fit; then nothing has changed.
    public func load(into network: any VisionNetwork) throws {
        let file = path + "/latest/state.safetensors"
        try TrainingTensors.load(TensorFile.read(file).tensors, into: network, source: file)
    }

    /// The tensors of a language model in training, f32 by their names.
    ///
    /// - Parameter shapes: what the model has.
    /// - Throws: `.badData` naming the tensor that is missing or does not fit.
    public func tensors(like shapes: [(name: String, shape: [Int])]) throws -> [String: Tensor] {
        let file = path + "/latest/state.safetensors"
        let stored = try TensorFile.read(file).tensors
        var result: [String: Tensor] = [:]
        for (name, shape) in shapes {
            guard let tensor = stored[name], tensor.shape == shape else {
                let found = stored[name].map { "has shape \($0.shape)" } ?? "is missing"
                throw CoppiceError(.badData, source: file, field: name, "\(found), expected shape \(shape)")
            }
            result[name] = tensor
        }
        return result
    }
}
