import CKernels
import CoppiceFormats
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// The weights that a checkpoint stores sparsely. A network that goes on training from it stays as sparse: what is
/// removed is held at zero, and the network is written in the same formats.
struct SparseWeights {
    /// Formats by the parameter's name.
    private let formats: [String: any WeightFormat]

    /// - Throws: `.badData` for compressed weights whose parts do not fit together.
    init(_ checkpoint: VisionCheckpoint) throws {
        var formats: [String: any WeightFormat] = [:]
        for (name, stored) in try checkpoint.tensorNames().parameters {
            guard let weight = try checkpoint.tensors.weight(stored), Self.isSparse(weight) else { continue }
            formats[name] = weight
        }
        self.formats = formats
    }

    private static func isSparse(_ weight: any WeightFormat) -> Bool {
        weight is BitmaskSparseWeight || weight is SemiStructuredWeight || weight is GroupSparseWeight
    }

    /// What holds the zeros of a network that was loaded from the checkpoint; nil where nothing is sparse.
    func hook(_ network: Module) -> HeldZeros? {
        formats.isEmpty ? nil : HeldZeros(network) { formats[$0]?.dense() }
    }

    /// The formats for the network's present weights, with values in f32.
    ///
    /// - Throws: `.badData` for weights that are not finite.
    func formats(of network: Module) throws -> [String: any WeightFormat] {
        var result: [String: any WeightFormat] = [:]
        for (name, parameter) in network.parameters {
            guard let format = formats[name] else { continue }
            let values = parameter.wrappedValue.detached().contiguous().reshaped([format.rows, format.columns])
            if let pattern = format as? SemiStructuredWeight {
                result[name] = try SemiStructuredWeight(
                    packing: values, kept: pattern.kept, of: pattern.groupLength, values: .float(.f32))
            } else {
                result[name] = try BitmaskSparseWeight(packing: values, values: .float(.f32))
            }
        }
        return result
    }
}

/// Holds entries of weights at zero through training, with their gradients and what the optimizer remembers of them.
final class HeldZeros: TrainingHook {
    private let parameters: [Parameter]
    /// For each parameter of the network, a bitmap of the entries that are not held; nil where none is.
    private let free: [[UInt64]?]

    /// - Parameter values: the weight whose zeros are held, as a matrix; nil for a parameter that is free.
    init(_ network: Module, values: (_ name: String) -> Tensor?) {
        parameters = network.parameters.map(\.parameter)
        free = network.parameters.map { name, _ in
            values(name)?.withElements(Float.self) { all in
                var words = [UInt64](repeating: 0, count: (all.count + 63) / 64)
                for index in all.indices where all[index] != 0 { words[index / 64] |= 1 << UInt64(index % 64) }
                return words
            }
        }
    }

    func willUpdate(_ step: Int, gradients: inout [Tensor]) {
        for (place, words) in free.enumerated() {
            guard let words else { continue }
            var held = gradients[place].detached().contiguous()
            held.withMutableElements(Float.self) { Self.hold($0, words) }
            gradients[place] = held
        }
    }

    func didStep(_ step: Int, state: inout OptimizerState) {
        for (place, words) in free.enumerated() {
            guard let words else { continue }
            parameters[place].update { Self.hold($0, words) }
            for slot in state.slots[place].indices {
                state.slots[place][slot].withMutableElements(Float.self) { Self.hold($0, words) }
            }
        }
    }

    private static func hold(_ values: UnsafeMutableBufferPointer<Float>, _ free: [UInt64]) {
        coppice_bitmap_apply(values.baseAddress, values.count, free)
    }
}
