import CoppiceModels
import CoppiceTensors
import Foundation

/// The folder of a run that is under way: `OUTPUT.run`, beside the output it will give.
///
/// | entry | what it holds |
/// |---|---|
/// | `run.json` | the run's identifier and what it is made of |
/// | `recipe.yaml` | the recipe as it was given |
/// | `log.jsonl` | one line an event |
/// | `tokenizer/`, `tokens/` | the tokenizer and the texts in its tokens |
/// | `latest/` | the state to resume from: `state.json`, `state.safetensors` (f32 parameters and moments) |
/// | `best/` | the parameters of the best validation so far, f32 |
/// | `kept/step-N/` | weights of earlier steps that were asked for: `state.json`, `state.safetensors` |
///
/// Each is replaced as a whole, so a run that is killed at any moment can be resumed.
public final class RunFolder: Trainer.CheckpointStore {
    /// What a run is made of; a resumed run must be made of the same.
    struct Identity: Codable, Hashable {
        var id: String
        var startedAt: Date
        /// The digest of what is trained on; in a run on images, of all images.
        var trainingText: String
        var validationText: String?
    }

    /// `state.json`.
    private struct Saved<State: Codable>: Codable {
        var version: Int
        var state: State
    }

    private static let version = 1

    public let path: String
    let identity: Identity
    /// Whether an earlier run's folder was taken up.
    public let isResumed: Bool
    private let lock: RunLock

    /// The folder of the run that writes `output`.
    public static func path(forOutput output: String) -> String {
        var trimmed = output
        while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed.removeLast() }
        return trimmed + ".run"
    }

    /// Takes up or creates the folder of a run.
    ///
    /// - Parameters:
    ///   - resume: take up an earlier run if there is one. Otherwise an unfinished one is an error, and a finished one
    ///     is replaced.
    /// - Throws: `.cannotCreate` when the folder exists and is not a run's, is used by another process or holds an
    ///   unfinished run; `.badData` when the earlier run had another recipe or other texts.
    convenience init(
        output: String, recipe: TrainingRecipe, training: TrainingText, validation: TrainingText?, resume: Bool
    ) throws {
        try self.init(
            output: output, recipeText: recipe.text, training: training.digest, validation: validation?.digest,
            resume: resume
        ) { identity, path in
            try Self.check(identity, recipe, training, validation, path)
        }
    }

    /// Takes up or creates the folder of a run of any kind.
    ///
    /// - Parameters:
    ///   - training: the digest of what is trained on.
    ///   - check: throws unless an earlier run, whose recipe is in its folder, may be gone on with.
    init(
        output: String, recipeText: String, training: String, validation: String?, resume: Bool,
        check: (_ identity: Identity, _ path: String) throws -> Void
    ) throws {
        path = Self.path(forOutput: output)
        let files = FileManager.default
        var identity: Identity?
        if files.fileExists(atPath: path) {
            identity = try Self.read(Identity.self, path + "/run.json")
            let entries = (try? files.contentsOfDirectory(atPath: path)) ?? []
            // The recipe and the lock alone are what a process leaves that was killed in its first moments.
            if identity == nil, !Set(entries).isSubset(of: ["lock", "recipe.yaml"]) {
                throw CoppiceError(.cannotCreate, source: path, "exists and is not the folder of a training run")
            }
        }
        do {
            try files.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw CoppiceError(.cannotCreate, source: path, "cannot create the folder of the run")
        }
        lock = try RunLock(path)
        if identity != nil, !resume {
            // Without its output a run whose training is complete still has to write it.
            guard Self.isFinished(path), files.fileExists(atPath: output) else {
                throw CoppiceError(
                    .cannotCreate, source: path,
                    "holds an unfinished run; resume it, remove the folder, or name another output")
            }
            // The identity goes first: without it nothing else is taken for a run's.
            try? files.removeItem(atPath: path + "/run.json")
            for entry in (try? files.contentsOfDirectory(atPath: path)) ?? [] where entry != "lock" {
                try? files.removeItem(atPath: path + "/" + entry)
            }
            identity = nil
        }
        if let identity {
            isResumed = true
            self.identity = identity
            try check(identity, path)
        } else {
            isResumed = false
            let new = Identity(
                id: UUID().uuidString.lowercased(), startedAt: Date(), trainingText: training,
                validationText: validation)
            self.identity = new
            try AtomicFile.write(recipeText, to: path + "/recipe.yaml")
            try Self.write(new, path + "/run.json")
        }
    }

    private static func isFinished(_ path: String) -> Bool {
        guard let outcome = TrainingLog.read(path + "/log.jsonl").last?.outcome else { return false }
        return outcome != .interrupted
    }

    private static func check(
        _ identity: Identity, _ recipe: TrainingRecipe, _ training: TrainingText, _ validation: TrainingText?,
        _ path: String
    ) throws {
        let earlier = try TrainingRecipe.load(path + "/recipe.yaml")
        guard earlier.isSameTraining(as: recipe) else {
            throw CoppiceError(
                .badData, source: recipe.source,
                "differs from the recipe that the run was started with (\(path)/recipe.yaml); a resumed run must go on "
                    + "with the same")
        }
        for (text, digest, files) in [
            (training.digest, identity.trainingText, training.files),
            (validation?.digest ?? "", identity.validationText ?? "", validation?.files ?? []),
        ] where text != digest {
            throw CoppiceError(
                .badData, source: files.first ?? recipe.source,
                "is not the text that the run was started with; a resumed run must go on with the same")
        }
    }

    // MARK: - Checkpoints

    public func saveLatest(_ state: TrainingState, _ learner: any LanguageModelLearner) throws {
        try saveLatest(state, learner.parameters() + learner.optimizerState())
    }

    /// Keeps a state to resume from.
    func saveLatest(_ state: some Codable, _ tensors: [NamedTensor]) throws {
        let folder = try OutputFolder(at: path + "/latest")
        try Self.write(Saved(version: Self.version, state: state), folder.path(for: "state.json"))
        try TensorFile.write(tensors, to: folder.path(for: "state.safetensors"))
        try folder.commit()
    }

    public func saveBest(_ state: TrainingState, _ learner: any LanguageModelLearner) throws {
        try saveBest(step: state.step, learner.parameters())
    }

    /// Keeps the tensors of the best validation.
    func saveBest(step: Int, _ tensors: [NamedTensor]) throws {
        let folder = try OutputFolder(at: path + "/best")
        try TensorFile.write(tensors, metadata: ["step": "\(step)"], to: folder.path(for: "parameters.safetensors"))
        try folder.commit()
    }

    /// Where a run keeps the weights of a step.
    static func keptPath(in run: String, step: Int) -> String { "\(run)/kept/step-\(step)" }

    public func isKept(_ state: KeptState) -> Bool { isKept(step: state.step) }

    func isKept(step: Int) -> Bool { FileManager.default.fileExists(atPath: Self.keptPath(in: path, step: step)) }

    public func saveKept(_ state: KeptState, _ learner: any LanguageModelLearner) throws {
        try saveKept(state, learner.parameters())
    }

    /// Keeps the weights of a step to go back to.
    func saveKept(_ state: KeptState, _ tensors: [NamedTensor]) throws {
        let folder = try OutputFolder(at: Self.keptPath(in: path, step: state.step))
        try Self.write(Saved(version: Self.version, state: state), folder.path(for: "state.json"))
        try TensorFile.write(tensors, to: folder.path(for: "state.safetensors"))
        try folder.commit()
    }

    /// Puts the learner into the state of the last checkpoint.
    ///
    /// - Returns: the run's state; nil when there is no checkpoint yet.
    /// - Throws: `.badData` for a checkpoint that is damaged or does not belong to the learner's model.
    func restoreLatest(_ learner: any LanguageModelLearner) throws -> TrainingState? {
        guard let (state, tensors) = try latest(TrainingState.self) else { return nil }
        try learner.restore(tensors, source: latestTensors)
        return state
    }

    /// The file of the last checkpoint's tensors, for error messages.
    var latestTensors: String { path + "/latest/state.safetensors" }

    /// The last checkpoint; nil when there is none yet.
    ///
    /// - Throws: `.badData` for a checkpoint that is damaged.
    func latest<State: Codable>(_ type: State.Type) throws -> (state: State, tensors: [String: Tensor])? {
        let file = path + "/latest/state.json"
        guard let saved = try Self.read(Saved<State>.self, file) else { return nil }
        guard saved.version == Self.version else {
            throw CoppiceError(
                .badData, source: file, field: "version", "expected \(Self.version), found \(saved.version)")
        }
        return (saved.state, try TensorFile.read(latestTensors).tensors)
    }

    /// The parameters of the best validation by name; nil when there was none.
    func best() throws -> [String: Tensor]? {
        let file = path + "/best/parameters.safetensors"
        guard FileManager.default.fileExists(atPath: file) else { return nil }
        return try TensorFile.read(file).tensors
    }

    // MARK: - Tokens

    /// A text in tokens, kept from an earlier start where text and tokenizer are the same.
    func tokens(
        _ text: TrainingText, named name: String, tokenizerDigest: String, _ make: () throws -> TokenStream
    ) throws -> TokenStream {
        let file = path + "/tokens/\(name).safetensors"
        let key = SHA256.hexadecimal("\(text.digest) \(tokenizerDigest) \(text.documents.count)".utf8)
        if FileManager.default.fileExists(atPath: file), let (tensors, metadata) = try? TensorFile.read(file),
            metadata["key"] == key, let tokens = tensors["tokens"], tokens.dataType == .i32
        {
            return TokenStream(tokens: tokens.withElements(Int32.self) { Array($0) }, byteCount: text.byteCount)
        }
        let stream = try make()
        let folder = path + "/tokens"
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw CoppiceError(.cannotCreate, source: folder, "cannot create the folder")
        }
        try TensorFile.write(
            [NamedTensor("tokens", Tensor(stream.tokens))], metadata: ["key": key, "text": text.digest], to: file)
        return stream
    }

    // MARK: - JSON

    private static func write(_ value: some Encodable, _ path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
        encoder.dateEncodingStrategy = .iso8601
        try AtomicFile.write(String(decoding: try encoder.encode(value), as: UTF8.self) + "\n", to: path)
    }

    private static func read<Value: Decodable>(_ type: Value.Type, _ path: String) throws -> Value? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        do {
            return try decoder.decode(type, from: data)
        } catch {
            throw CoppiceError(.badData, source: path, "is damaged, expected what an earlier training run wrote")
        }
    }
}
