import CoppiceFormats
import CoppiceModels
import CoppiceTensors
import Foundation

/// The weights of any stored model as matrices, read one at a time: of a language model, of a vision network, of the
/// layers of an encoder, or of a safetensors file of tensors of neither.
///
/// ```swift
/// let weights = try StoredWeights.open("model.safetensors")
/// for matrix in weights.matrices { print(matrix.name, try weights.values(of: matrix.name)) }
/// ```
///
/// A convolution's kernels of one output are a row. Biases, norms and running statistics are not weights here.
public struct StoredWeights: WeightSource {
    /// Where the matrices come from.
    public enum Model: Sendable {
        case languageModel(Checkpoint)
        case vision(VisionCheckpoint)
        case encoder(EncoderCheckpoint)
        /// Tensors of two and more dimensions of a file.
        case tensors(StoredTensors)
    }

    /// What was opened.
    public let path: String
    public let model: Model
    public let matrices: [PrunableWeight]
    /// What the file calls a weight, where that is not its name.
    let storedNames: [String: String]

    /// Opens a model as ``AnyCheckpoint`` does, or a safetensors file that is none. O(header): weights are not read.
    ///
    /// - Throws: `.noInput` when a file is missing; `.badData` when it is damaged, or has no matrix.
    public static func open(_ path: String) throws -> StoredWeights {
        do {
            return try StoredWeights(AnyCheckpoint.open(path))
        } catch let error as CoppiceError {
            var isFolder: ObjCBool = false
            guard path.hasSuffix(".safetensors"),
                FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), !isFolder.boolValue
            else { throw error }
            let file = try SafetensorsFile(path: path)
            // What says that it is a network is to be one.
            guard file.metadata["coppice.vision"] == nil else { throw error }
            return try StoredWeights(tensors: StoredTensors(file))
        }
    }

    /// - Throws: `.badData` for a model without a matrix.
    public init(_ checkpoint: AnyCheckpoint) throws {
        switch checkpoint {
        case .languageModel(let checkpoint):
            try self.init(
                checkpoint.path, .languageModel(checkpoint), matrices: NarrowedCheckpoint(checkpoint).matrices)
        case .vision(let checkpoint):
            let names = try checkpoint.tensorNames().parameters
            let matrices = names.compactMap { name, stored -> PrunableWeight? in
                guard let shape = checkpoint.tensors.shape(of: stored), shape.count >= 2 else { return nil }
                return PrunableWeight(name: name, shape: shape)
            }
            try self.init(
                checkpoint.path, .vision(checkpoint), matrices: matrices,
                storedNames: Dictionary(uniqueKeysWithValues: names.map { ($0.name, $0.stored) }))
        case .encoder(let checkpoint):
            let matrices = checkpoint.storedNames.compactMap { name -> PrunableWeight? in
                guard EncoderCheckpoint.isLayerMatrix(name), let shape = checkpoint.storedShape(name) else {
                    return nil
                }
                return shape.count == 2 ? PrunableWeight(name: name, shape: shape) : nil
            }
            try self.init(checkpoint.path, .encoder(checkpoint), matrices: matrices)
        }
    }

    private init(tensors: StoredTensors) throws {
        let matrices = tensors.names.compactMap { name -> PrunableWeight? in
            guard let shape = tensors.shape(of: name), shape.count >= 2,
                tensors.isCompressed(name)
                    || tensors.dataType(of: name)?.isFloatingPoint == true
            else { return nil }
            return PrunableWeight(name: name, shape: shape)
        }
        try self.init(tensors.source, .tensors(tensors), matrices: matrices)
    }

    private init(
        _ path: String, _ model: Model, matrices: [PrunableWeight], storedNames: [String: String] = [:]
    ) throws {
        guard !matrices.isEmpty else {
            throw CoppiceError(
                .badData, source: path, "has no weight matrix, expected tensors of two or more dimensions")
        }
        self.path = path
        self.model = model
        self.matrices = matrices
        self.storedNames = storedNames
    }

    /// A matrix's values as they are, f32 `[rows, columns]`: a view of the file where that has them so.
    ///
    /// - Throws: `.badData` for a name that is not one of ``matrices``, and for a damaged weight.
    public func values(of name: String) throws -> Tensor {
        guard let weight = matrices.first(where: { $0.name == name }) else {
            throw CoppiceError(.badData, source: path, field: name, "there is no such weight")
        }
        let tensor =
            switch model {
            case .languageModel(let checkpoint): try checkpoint.tensor(name)
            case .vision(let checkpoint): try checkpoint.tensors.tensor(storedNames[name] ?? name)
            case .encoder(let checkpoint): try checkpoint.storedTensor(name)
            case .tensors(let tensors): try tensors.tensor(name)
            }
        return tensor.converted(to: .f32).contiguous().reshaped([weight.rows, weight.columns])
    }

    /// Gives back the memory of a language model's weight that was read.
    func releasePages(of name: String) {
        if case .languageModel(let checkpoint) = model { checkpoint.releasePages(of: name) }
    }

    /// Of a language model the projections of its blocks; of others all.
    public func isStandardTarget(_ name: String) -> Bool {
        if case .languageModel = model { return WeightSelection.isBlockProjection(name) }
        return true
    }
}
