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
    /// - Parameter path: a vision network, or a file of tensors with the weights' names.
    /// - Throws: `.noInput`, `.badData` naming the file and the weight that it lacks or that has another shape there.
    func masks(fromZerosOf path: String) throws -> [WeightMask] {
        let lookup: (String) throws -> Tensor?
        if VisionCheckpoint.isVisionNetwork(path) {
            let other = try VisionCheckpoint.open(path)
            let stored = Dictionary(
                uniqueKeysWithValues: try other.tensorNames().parameters.map { ($0.name, $0.stored) })
            lookup = { try stored[$0].map(other.tensors.tensor) }
        } else {
            let tensors = try VisionTensors(SafetensorsFile(path: path))
            lookup = { tensors.shape(of: $0) == nil ? nil : try tensors.tensor($0) }
        }
        return try weights.enumerated().map { index, weight in
            let shape = parameters[index].wrappedValue.shape
            guard let tensor = try lookup(weight.name) else {
                throw CoppiceError(
                    .badData, source: path, field: weight.name, "is missing: the masks are those of another network")
            }
            guard tensor.shape == shape else {
                throw CoppiceError(
                    .badData, source: path, field: weight.name,
                    "has shape \(tensor.shape), expected \(shape): the masks are those of another network")
            }
            return WeightMask(keepingNonZerosOf: tensor.reshaped([weight.rows, weight.columns]))
        }
    }
}

/// The weights of a network in memory as matrices: what recipes are matched with.
struct NetworkWeights: WeightSource {
    let matrices: [PrunableWeight]
    private let network: PrunableNetwork

    init(_ network: PrunableNetwork) {
        self.network = network
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
