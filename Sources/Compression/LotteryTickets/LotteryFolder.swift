import CoppiceFormats
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Foundation

/// The folder of a search for lottery tickets, under way or finished.
///
/// | entry | what it holds |
/// |---|---|
/// | `run.json` | the options, and the digest of the images |
/// | `recipe.yaml` | the training recipe as it was given |
/// | `replicate-1/rewound/` | W_k, a network that other commands know |
/// | `replicate-1/dense/` | the trained dense network, and `result.json` with its accuracy |
/// | `replicate-1/level-1/mask.safetensors` | the ticket's masks, which belong to `rewound` |
/// | `replicate-1/level-1/ticket/` | W_k under the masks, stored sparsely: what is trained |
/// | `replicate-1/level-1/trained/` | the trained ticket; beside it a folder for each branch |
/// | `training/` | the training that was interrupted last |
///
/// Each appears when it is complete; what is missing is made again, and is the same.
final class LotteryFolder {
    let path: String
    private let lock: RunLock

    /// What a run is made of; a resumed run must be made of the same.
    private struct Identity: Codable {
        var version = 1
        var kind: String
        var options: [String: String]
        var images: String
    }

    /// Takes up or creates the folder.
    ///
    /// - Parameters:
    ///   - kind: what the folder is of.
    ///   - fields: the options by their names.
    ///   - images: the digest of the training images.
    /// - Throws: `.cannotCreate` where the folder is not a run's, or holds one that is not to be resumed; `.badData` and
    ///   `.usage` naming the field of recipe or options that differs from that of the run.
    init(
        _ path: String, kind: String, recipe: ClassificationRecipe, fields: [(key: String, value: String)],
        images: String, resumes: Bool
    ) throws {
        var trimmed = path
        while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed.removeLast() }
        self.path = trimmed
        let files = FileManager.default
        var isFolder: ObjCBool = false
        if files.fileExists(atPath: trimmed, isDirectory: &isFolder), !isFolder.boolValue {
            throw CoppiceError(.cannotCreate, source: trimmed, "exists and is not a folder")
        }
        let entries = Set((try? files.contentsOfDirectory(atPath: trimmed)) ?? [])
        let hasRun = entries.contains("run.json")
        // The recipe and the lock alone are what a process leaves that was killed in its first moments.
        if !hasRun, !entries.isSubset(of: ["lock", "recipe.yaml"]) {
            throw CoppiceError(.cannotCreate, source: trimmed, "exists and is not the folder of a lottery run")
        }
        if hasRun, !resumes {
            throw CoppiceError(
                .cannotCreate, source: trimmed,
                "holds a lottery run; go on with it by --resume, remove the folder, or name another output")
        }
        do {
            try files.createDirectory(atPath: trimmed, withIntermediateDirectories: true)
        } catch {
            throw CoppiceError(.cannotCreate, source: trimmed, "cannot create the folder of the run")
        }
        lock = try RunLock(trimmed)
        if hasRun {
            try check(kind, recipe, fields, images)
            return
        }
        try AtomicFile.write(recipe.text, to: trimmed + "/recipe.yaml")
        let options = Dictionary(uniqueKeysWithValues: fields.map { ($0.key, $0.value) })
        try write(Identity(kind: kind, options: options, images: images), to: "run.json")
    }

    private func check(
        _ kind: String, _ recipe: ClassificationRecipe, _ fields: [(key: String, value: String)], _ images: String
    ) throws {
        let identity = try read(Identity.self, "run.json")
        guard identity.version == 1, identity.kind == kind else {
            throw CoppiceError(
                .usage, source: path, "holds the run of lottery \(identity.kind), expected one of lottery \(kind)")
        }
        let file = path + "/recipe.yaml"
        let earlier = try ClassificationRecipe(yaml: RecipeText.read(file), source: file)
        for (own, other) in zip(recipe.trainingFields, earlier.trainingFields) where own.value != other.value {
            throw CoppiceError(
                .badData, source: recipe.source, field: own.key,
                "is \(own.value), and \(other.value) in the recipe that the run was started with (\(file)); a resumed "
                    + "run must go on with the same")
        }
        for (key, value) in fields where identity.options[key] != value {
            throw CoppiceError(
                .usage, source: path, field: "--\(key)",
                "is \"\(value)\", and was \"\(identity.options[key] ?? "")\" when the run was started; a resumed run must "
                    + "go on with the same")
        }
        guard identity.images == images else {
            throw CoppiceError(
                .badData, source: recipe.images.directory,
                "does not hold the images that the run was started with; a resumed run must go on with the same")
        }
    }

    // MARK: Networks

    /// Whether a network, or another piece, is there.
    func has(_ piece: String) -> Bool { FileManager.default.fileExists(atPath: path + "/" + piece) }

    /// Writes a network; what masks remove is stored sparsely.
    ///
    /// - Parameter measure: its accuracy, where it was measured.
    func write(
        _ network: any VisionNetwork, _ prunable: PrunableNetwork, to piece: String,
        normalization: ImageNormalization, measure: LotteryMeasure?
    ) throws {
        var formats: [String: any WeightFormat] = [:]
        for (place, weight) in prunable.weights.enumerated() where prunable.masks[place].removedCount > 0 {
            formats[weight.name] = try BitmaskSparseWeight(packing: prunable.values(place), values: .float(.f32))
        }
        let files = try measure.map { [(name: "result.json", text: try Self.text($0))] } ?? []
        try VisionCheckpoint.write(
            network, normalization: normalization, formats: formats, folder: path + "/" + piece, files: files)
    }

    /// Puts a stored network's values into one of the same architecture.
    func load(_ piece: String, into network: any VisionNetwork) throws {
        try network.load(VisionCheckpoint.open(path + "/" + piece).tensors)
    }

    func measure(of piece: String) throws -> LotteryMeasure {
        try read(LotteryMeasure.self, piece + "/result.json")
    }

    // MARK: The training under way

    /// Where a training is that was interrupted.
    struct Progress: Codable {
        /// The network that it makes.
        var piece: String
        /// 0: densely; 1: under the masks; 2: trained, and not measured yet.
        var phase: Int
        /// The next step.
        var step: Int
        /// Steps that were taken, those of both phases.
        var taken: Int
        /// Steps that the optimizer remembers.
        var optimizerStep: Int
    }

    private var tensorsFile: String { path + "/training/state.safetensors" }

    func save(_ progress: Progress, _ network: any VisionNetwork, _ optimizer: OptimizerState) throws {
        let folder = try OutputFolder(at: path + "/training")
        defer { folder.discard() }
        try TensorFile.write(
            TrainingTensors.values(of: network) + TrainingTensors.optimizer(optimizer, of: network),
            to: folder.path(for: "state.safetensors"))
        try AtomicFile.write(try Self.text(progress), to: folder.path(for: "state.json"))
        try folder.commit()
    }

    /// Puts back the training of a network that was interrupted; nil when it was not.
    func resume(
        _ piece: String, _ network: any VisionNetwork, _ rule: any Optimizer, _ optimizer: inout OptimizerState
    ) throws -> Progress? {
        guard has("training/state.json") else { return nil }
        let progress = try read(Progress.self, "training/state.json")
        guard progress.piece == piece else { return nil }
        let tensors = try TensorFile.read(tensorsFile).tensors
        let restored = try TrainingTensors.optimizer(
            in: tensors, of: network, rule, step: progress.optimizerStep, source: tensorsFile)
        try TrainingTensors.load(tensors, into: network, source: tensorsFile)
        optimizer = restored
        return progress
    }

    /// Steps that were taken of the network that was interrupted; 0 where there is none.
    func stepsUnderWay() -> Int {
        guard let progress = try? read(Progress.self, "training/state.json"), !has(progress.piece) else { return 0 }
        return progress.taken
    }

    func clearProgress() { try? FileManager.default.removeItem(atPath: path + "/training") }

    // MARK: JSON

    func write(_ value: some Encodable, to name: String) throws {
        try AtomicFile.write(try Self.text(value), to: path + "/" + name)
    }

    func read<Value: Decodable>(_ type: Value.Type, _ name: String) throws -> Value {
        let file = path + "/" + name
        guard let data = FileManager.default.contents(atPath: file) else {
            throw CoppiceError(.noInput, source: file, "no such file, expected what an earlier lottery run wrote")
        }
        do {
            return try JSONDecoder().decode(type, from: data)
        } catch {
            throw CoppiceError(.badData, source: file, "is damaged, expected what an earlier lottery run wrote")
        }
    }

    private static func text(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        return String(decoding: try encoder.encode(value), as: UTF8.self) + "\n"
    }
}
