import ArgumentParser
import CoppiceCompression
import CoppiceInference
import CoppiceModels
import CoppiceNetworks

/// A mask that a model is run under.
struct MaskArgument: ParsableArguments {
    @Option(
        help: ArgumentHelp("Run the model under this mask, which mask extract or lottery wrote.", valueName: "file"))
    var mask: String?

    /// What a JSON object says about it.
    var json: JSON { mask.map { .string($0) } ?? .null }

    /// A checkpoint's model, under the mask if there is one.
    ///
    /// - Throws: `.badData` for the mask of other weights.
    func languageModel(
        _ checkpoint: Checkpoint, execution: ExecutionOptions = ExecutionOptions()
    ) throws -> LanguageModel {
        guard let mask else { return try LanguageModel(checkpoint, execution: execution) }
        return try LanguageModel(checkpoint, mask: mask, execution: execution)
    }

    /// A network, under the mask if there is one.
    ///
    /// - Parameter network: read from `checkpoint`; with a mask, its matrices are expanded.
    /// - Throws: `.badData` for the mask of other weights.
    func masked<Network: SupervisedNetwork>(_ network: Network, of checkpoint: AnyCheckpoint) throws -> Network {
        if let mask { try MaskFile.read(mask).apply(to: network, of: checkpoint, source: mask) }
        return network
    }
}

extension MaskedCheckpoint: DecoderWeightSource {}

extension LanguageModel {
    /// A checkpoint's model under the mask in a file. What the mask leaves alone is the checkpoint's own.
    convenience init(_ checkpoint: Checkpoint, mask: String, execution: ExecutionOptions) throws {
        try self.init(
            checkpoint.configuration,
            weights: MaskedCheckpoint(checkpoint, masks: .read(mask), source: mask), source: checkpoint.path,
            execution: execution)
    }
}
