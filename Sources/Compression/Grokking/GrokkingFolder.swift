import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import Foundation

/// A dense run on disk: settings, curve, and weights before training (θ₀), at kept steps and at the end.
///
/// | file | what |
/// |---|---|
/// | `settings.json` | ``GrokkingSettings``, and the last step |
/// | `dense.csv` | the curve |
/// | `initial.safetensors` | weights before training |
/// | `step-N.safetensors` | weights at step N |
public struct GrokkingFolder: Sendable {
    public var path: String

    public init(_ path: String) { self.path = path }

    private struct Record: Codable {
        var settings: GrokkingSettings
        var lastStep: Int
    }

    /// Writes a run into the folder, which must exist.
    ///
    /// - Throws: `.cannotCreate`, `.inputOutput`.
    public func write(_ dense: GrokkingStudy.Dense, settings: GrokkingSettings, task: GrokkingTask) throws {
        let network = task.makeNetwork(settings.seed)
        try write(dense.initial, of: network, to: "initial.safetensors")
        for (step, weights) in dense.checkpoints { try write(weights, of: network, to: "step-\(step).safetensors") }
        try write(dense.outcome.curve.csv, to: "dense.csv")
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let record = Record(settings: settings, lastStep: dense.lastStep)
        try write(String(decoding: encoder.encode(record), as: UTF8.self) + "\n", to: "settings.json")
    }

    /// Writes a text file into the folder, or replaces it.
    ///
    /// - Throws: `.cannotCreate`, `.inputOutput`.
    public func write(_ text: String, to name: String) throws {
        try OutputFolder.add(text, as: name, to: path)
    }

    /// The settings that a folder's run followed from.
    ///
    /// - Throws: `.noInput` where there are none, `.badData` for damaged ones.
    public func settings() throws -> GrokkingSettings { try record().settings }

    /// Reads the weights and the curve of a run; norms of the curve's points are means over tensors.
    ///
    /// - Parameter rewindStep: the step whose weights tickets go back to; 0 for those before training.
    /// - Throws: `.noInput` for a folder without settings, curve or the weights that are rewound to; `.badData` for
    ///   weights of other shapes and a damaged curve.
    public func dense(task: GrokkingTask, rewindStep: Int = 0) throws -> GrokkingStudy.Dense {
        let record = try record()
        let network = task.makeNetwork(record.settings.seed)
        let file = rewindStep == 0 ? "initial.safetensors" : "step-\(rewindStep).safetensors"
        guard FileManager.default.fileExists(atPath: path + "/" + file) else {
            throw CoppiceError(
                .noInput, source: path + "/" + file,
                "there are no weights to rewind to"
                    + (rewindStep == 0 ? "; a ticket starts from the network's own initial weights" : ""))
        }
        let initial = try read(file, into: network)
        let norms = WeightNorms(of: network)
        var checkpoints: [Int: Snapshot] = [:]
        for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] {
            guard name.hasPrefix("step-"), name.hasSuffix(".safetensors"),
                let step = Int(name.dropFirst(5).dropLast(12))
            else { continue }
            checkpoints[step] = try read(name, into: network)
        }
        let curvePath = path + "/dense.csv"
        guard let curve = FileManager.default.contents(atPath: curvePath) else {
            throw CoppiceError(.noInput, source: curvePath, "cannot be read, expected the curve of the run")
        }
        let arm = GrokkingArm(
            .dense, kept: 1, weightDecay: record.settings.weightDecay, steps: record.settings.steps)
        return .init(
            outcome: .init(
                arm: arm,
                curve: try GrokkingCurve(
                    csv: String(decoding: curve, as: UTF8.self), threshold: record.settings.training.threshold,
                    source: curvePath), initialNorms: norms, overlap: nil), initial: initial,
            checkpoints: checkpoints, lastStep: record.lastStep)
    }

    private func record() throws -> Record {
        let file = path + "/settings.json"
        guard let data = FileManager.default.contents(atPath: file) else {
            throw CoppiceError(.noInput, source: file, "cannot be read, expected the folder of a grok run")
        }
        do {
            return try JSONDecoder().decode(Record.self, from: data)
        } catch {
            throw CoppiceError(.badData, source: file, "is damaged, expected the settings of a grok run")
        }
    }

    private func write(_ weights: Snapshot, of network: any SupervisedNetwork, to name: String) throws {
        weights.restore(network)
        try SafetensorsWriter.write(
            network.parameters.map { (name: $0.name, tensor: $0.parameter.wrappedValue.detached()) },
            metadata: [:], to: path + "/" + name)
    }

    private func read(_ name: String, into network: any SupervisedNetwork) throws -> Snapshot {
        let file = try SafetensorsFile(path: path + "/" + name)
        try network.load(source: path + "/" + name) { try file.tensor($0) }
        return Snapshot(of: network)
    }
}
