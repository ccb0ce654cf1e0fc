import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

extension WeightMask {
    /// Keeps the entries of a matrix `[rows, columns]` that are not zero. O(N).
    init(keepingNonZerosOf matrix: Tensor) {
        precondition(matrix.rank == 2, "a matrix of shape \(matrix.shape)")
        let kept = matrix.converted(to: .f32).withElements(Float.self) { $0.map { $0 != 0 } }
        self.init(rows: matrix.shape[0], columns: matrix.shape[1], kept: kept)
    }
}

extension PrunableNetwork {
    /// - Parameter source: where the weights are from.
    /// - Throws: `.badData` for a weight that is not finite, naming it.
    func checkFinite(source: String) throws {
        for (index, weight) in weights.enumerated() {
            try ExactSelection.checkFinite(values(index), name: weight.name, source: source)
        }
    }

    /// Takes the zeros of the weights as what was removed. A weight of nothing but zeros was never trained, and is kept.
    func adoptZeros() {
        setMasks(
            weights.indices.map { index in
                let mask = WeightMask(keepingNonZerosOf: values(index))
                return mask.keptCount == 0 ? masks[index] : mask
            })
    }

    /// Takes over the masks of the weights that another view of the same network has.
    func adoptMasks(of other: PrunableNetwork) {
        let theirs = Dictionary(uniqueKeysWithValues: zip(other.weights.map(\.name), other.masks))
        setMasks(zip(weights, masks).map { theirs[$0.name] ?? $1 })
    }

    /// The masks of a file for these weights; those that it has none of are kept whole.
    ///
    /// - Parameter source: the file, for messages.
    /// - Throws: `.badData` where it has a mask of none of these weights.
    func masks(of file: MaskFile, source: String) throws -> [WeightMask] {
        let own = Dictionary(uniqueKeysWithValues: file.entries.map { ($0.name, $0.mask) })
        guard weights.contains(where: { own[$0.name] != nil }) else {
            throw CoppiceError(
                .badData, source: source,
                "has masks of other weights than the stage's, expected some of "
                    + weights.map(\.name).joined(separator: ", "))
        }
        return weights.map { own[$0.name] ?? WeightMask(keepingAllOf: $0.rows, $0.columns) }
    }

    /// The masks that another network's zeros make for these weights.
    ///
    /// - Parameter path: a model, or a file of tensors with the weights' names.
    /// - Throws: `.noInput`, `.badData` naming the file and the weight that it lacks or that has another shape there.
    func masks(fromZerosOf path: String) throws -> [WeightMask] {
        let other = try StoredWeights.open(path)
        let theirs = Dictionary(uniqueKeysWithValues: other.matrices.map { ($0.name, $0) })
        return try weights.map { weight in
            func refusal(_ message: String) -> CoppiceError {
                CoppiceError(
                    .badData, source: path, field: weight.name, message + ": the masks are those of another network")
            }
            guard let matrix = theirs[weight.name] else { throw refusal("is missing") }
            guard matrix.rows == weight.rows, matrix.columns == weight.columns else {
                throw refusal(
                    "has shape [\(matrix.rows), \(matrix.columns)], expected [\(weight.rows), \(weight.columns)]")
            }
            defer { other.releasePages(of: weight.name) }
            return WeightMask(keepingNonZerosOf: try other.values(of: weight.name))
        }
    }
}

/// The weights of a network in memory as matrices: what recipes are matched with.
struct NetworkWeights: WeightSource {
    let matrices: [PrunableWeight]
    let aliases: [String: String]
    private let network: PrunableNetwork

    /// - Parameter aliases: other names of its weights, by name.
    init(_ network: PrunableNetwork, aliases: [String: String] = [:]) {
        self.network = network
        self.aliases = aliases
        matrices = network.weights
    }

    func values(of name: String) throws -> Tensor {
        guard let index = matrices.firstIndex(where: { $0.name == name }) else {
            throw CoppiceError(.badData, field: name, "there is no such weight")
        }
        return network.values(index)
    }

    /// All of them.
    func isStandardTarget(_ name: String) -> Bool { true }
}
