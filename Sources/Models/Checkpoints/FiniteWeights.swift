import CoppiceFormats
import CoppiceNetworks
import CoppiceTensors

extension Checkpoint {
    /// Reads every weight and refuses those that are not finite.
    ///
    /// - Throws: `.badData` that names the tensor and the place of the first NaN or infinity in it. O(weights).
    public func checkFinite() throws {
        for name in weightNames { try checkFinite(name) }
    }

    /// Refuses a weight that is not finite: its elements, or the floating-point parts of a compressed matrix.
    ///
    /// - Throws: `.badData` that names the tensor and the place of the first NaN or infinity in it.
    public func checkFinite(_ name: String) throws {
        guard shape(of: name)?.count == 2 else { return try tensor(name).checkFinite(name, source: path) }
        let stored = try stored(name)
        if stored.format == BlockWeight.name { return try checkRows(name, BlockWeight(stored: stored)) }
        for (part, tensor) in stored.tensors.sorted(by: { $0.key < $1.key }) {
            try tensor.checkFinite(part.isEmpty ? name : "\(name).\(part)", source: path)
        }
    }

    /// Blocks have their scales among the codes: every row is decoded.
    private func checkRows(_ name: String, _ weight: BlockWeight) throws {
        let row = Tensor(uninitialized: [weight.columns])
        for index in 0..<weight.rows {
            weight.copyRow(index, into: row.basePointer.assumingMemoryBound(to: Float.self))
            guard let column = row.firstNonFiniteIndex else { continue }
            throw CoppiceError(
                .badData, source: path, field: name, "is not finite at [\(index), \(column)], expected finite weights")
        }
    }
}

extension Module {
    /// The first parameter or state tensor that is not finite; nil when all are. O(weights).
    package var firstNonFinite: String? {
        parameters.first { $0.parameter.wrappedValue.firstNonFiniteIndex != nil }?.name
            ?? stateTensors.first { $0.state.wrappedValue.firstNonFiniteIndex != nil }?.name
    }
}
