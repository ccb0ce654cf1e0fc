import CoppiceModels
import CoppiceTensors

/// Digests that say whether a file made for a model belongs to another's numbers.
extension StoredWeights {
    /// SHA-256 of some matrices' values, f32 in row-major order, one after the other.
    ///
    /// - Throws: `.badData` as ``values(of:)``.
    public func digest(of names: [String]) throws -> String {
        var hash = SHA256()
        for name in names {
            hash.update(try values(of: name))
            releasePages(of: name)
        }
        return hash.finish()
    }

    /// SHA-256 of all the numbers that the model computes with: its parameters and then its running statistics, f32 in
    /// row-major order, one after the other. Whole numbers, such as counts of batches, are not among them.
    ///
    /// - Throws: `.badData` for a damaged tensor.
    /// - Complexity: O(parameters), one tensor in memory at a time.
    public func modelDigest() throws -> String {
        var hash = SHA256()
        func update(_ tensor: Tensor) {
            guard tensor.dataType.isFloatingPoint else { return }
            hash.update(tensor.converted(to: .f32).contiguous())
        }
        switch model {
        case .languageModel(let checkpoint):
            for name in checkpoint.weightNames {
                update(try checkpoint.tensor(name))
                releasePages(of: name)
            }
        case .vision(let checkpoint):
            let names = try checkpoint.tensorNames()
            for (_, stored) in names.parameters + names.state { update(try checkpoint.tensors.tensor(stored)) }
        case .encoder(let checkpoint):
            for name in checkpoint.storedNames { update(try checkpoint.storedTensor(name)) }
        case .tensors(let tensors):
            for name in tensors.names { update(try tensors.tensor(name)) }
        }
        return hash.finish()
    }
}

extension SHA256 {
    /// - Precondition: contiguous f32.
    fileprivate mutating func update(_ tensor: Tensor) {
        tensor.withElements(Float.self) { update(UnsafeRawBufferPointer($0)) }
    }
}
