import CoppiceModels
import CoppiceTensors
import Foundation

/// Weights that a training run has in its folder: those of the step at which it was interrupted or wrote its last
/// checkpoint, or of an earlier step that it was told to keep.
///
/// ```swift
/// let early = try RunCheckpoint("resnet.run@2ep")     // of coppice train --keep 2ep
/// ```
public struct RunCheckpoint: Sendable, Hashable {
    /// The folder of the weights, `OUTPUT.run/latest` or `OUTPUT.run/kept/step-938`.
    public let path: String
    /// Optimizer steps behind the weights.
    public let step: Int

    private struct Saved<State: Decodable>: Decodable {
        var state: State
    }

    private struct LatestState: Decodable {
        var step: Int
    }

    /// Whether a name is that of a run's folder, with or without a point behind an @.
    public static func isRun(_ name: String) -> Bool { parts(of: name) != nil }

    private static func parts(of name: String) -> (run: String, point: String?)? {
        func isFolder(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path + "/run.json") }
        if isFolder(name) { return (name, nil) }
        guard let at = name.lastIndex(of: "@"), isFolder(String(name[..<at])) else { return nil }
        return (String(name[..<at]), String(name[name.index(after: at)...]))
    }

    /// Finds the weights of a run.
    ///
    /// - Parameter name: `OUTPUT.run` for its last checkpoint; `OUTPUT.run@2ep` (also `@500it`, `@10%`) for weights that
    ///   it kept.
    /// - Throws: `.noInput` for a run without a checkpoint, or that kept no weights of this step, naming those it kept;
    ///   `.usage` for a point that is none; `.badData` for a checkpoint that is damaged.
    public init(_ name: String) throws {
        let (run, point) = Self.parts(of: name) ?? (name, nil)
        guard let point else {
            let file = run + "/latest/state.json"
            guard let state = try Self.state(LatestState.self, in: file) else {
                throw CoppiceError(.noInput, source: run, "the run has no checkpoint yet, expected \(file)")
            }
            (path, step) = (run + "/latest", state.step)
            return
        }
        let wanted = try RewindPoint(point, option: name)
        let kept = try Self.kept(in: run)
        guard let first = kept.first else {
            throw CoppiceError(
                .noInput, source: run, field: "@\(point)",
                "the run kept no weights on its way, expected one that was trained with --keep \(point)")
        }
        let step = wanted.step(of: first.totalSteps, epochSteps: first.epochSteps)
        guard kept.contains(where: { $0.step == step }) else {
            throw CoppiceError(
                .noInput, source: run, field: "@\(point)",
                "the run did not keep step \(step), expected one of: "
                    + kept.map(\.description).joined(separator: "; "))
        }
        (path, self.step) = (RunFolder.keptPath(in: run, step: step), step)
    }

    /// What a run kept, in order.
    private static func kept(in run: String) throws -> [KeptState] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: run + "/kept")) ?? []
        return try names.filter { $0.hasPrefix("step-") }.compactMap {
            try state(KeptState.self, in: run + "/kept/\($0)/state.json")
        }.sorted { $0.step < $1.step }
    }

    private static func state<State: Decodable>(_ type: State.Type, in file: String) throws -> State? {
        guard let data = FileManager.default.contents(atPath: file) else { return nil }
        guard let saved = try? JSONDecoder().decode(Saved<State>.self, from: data) else {
            throw CoppiceError(.badData, source: file, "is damaged, expected what an earlier training run wrote")
        }
        return saved.state
    }

    /// Puts the weights and running statistics into a network of the run's architecture.
    ///
    /// - Throws: `.badData` naming the tensor that is missing or does not fit; then nothing has changed.
    public func load(into network: any VisionNetwork) throws {
        let file = path + "/state.safetensors"
        try TrainingTensors.load(TensorFile.read(file).tensors, into: network, source: file)
    }

    /// The tensors of a language model in training, f32 by their names.
    ///
    /// - Parameter shapes: what the model has.
    /// - Throws: `.badData` naming the tensor that is missing or does not fit.
    public func tensors(like shapes: [(name: String, shape: [Int])]) throws -> [String: Tensor] {
        let file = path + "/state.safetensors"
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
