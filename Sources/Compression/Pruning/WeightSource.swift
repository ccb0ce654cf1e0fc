import CoppiceTensors

/// The matrices of a model, read one at a time: a checkpoint, or a network in memory.
public protocol WeightSource {
    /// All two-dimensional weights, in checkpoint order.
    var matrices: [PrunableWeight] { get }

    /// A matrix's values, f32 `[rows, columns]`.
    func values(of name: String) throws -> Tensor

    /// Other names of matrices, such as those that a file has, by name: for patterns that match no name.
    var aliases: [String: String] { get }

    /// Whether stages without targets work on a matrix.
    func isStandardTarget(_ name: String) -> Bool
}

extension WeightSource {
    public var aliases: [String: String] { [:] }

    /// The projections of decoder blocks.
    public func isStandardTarget(_ name: String) -> Bool { WeightSelection.isBlockProjection(name) }
}

/// Matrices in memory.
public struct InMemoryWeights: WeightSource {
    public let matrices: [PrunableWeight]
    private let tensors: [String: Tensor]

    /// - Parameter tensors: named f32 matrices in order.
    /// - Precondition: two dimensions each, no name twice.
    public init(_ tensors: [(name: String, values: Tensor)]) {
        matrices = tensors.map {
            precondition($0.values.rank == 2, "\($0.name) is not a matrix")
            return PrunableWeight(name: $0.name, rows: $0.values.shape[0], columns: $0.values.shape[1])
        }
        self.tensors = Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.values) })
    }

    public func values(of name: String) throws -> Tensor {
        guard let tensor = tensors[name] else { throw CoppiceError(.badData, field: name, "there is no such weight") }
        return tensor
    }
}
