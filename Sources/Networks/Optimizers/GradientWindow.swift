import CKernels
import CoppiceTensors

/// The last m gradients of all trainable parameters of a network, and products with the inverse of their dampened Fisher
/// matrix: what ``MFAC`` remembers beside its velocity.
public struct GradientWindow: Sendable {
    /// The gradients as rows, and the inverse.
    public private(set) var inverse: InverseFisher
    /// How the parameters lie in a row.
    public let layout: FlatParameters

    init(inverse: InverseFisher, layout: FlatParameters) {
        precondition(inverse.count == layout.count, "a window of other parameters")
        self.inverse = inverse
        self.layout = layout
    }

    /// Takes a gradient into the window, for the oldest, and multiplies it with the inverse.
    ///
    /// - Parameter gradients: of each trainable parameter.
    /// - Returns: one vector for each, zeros at entries that are not in the window.
    /// - Throws: `.badData` for gradients that are not finite; the window is as before then.
    mutating func direction(taking gradients: [Tensor]) throws -> [Tensor] {
        let row = inverse.nextRow
        try inverse.push(layout.row(gradients))
        return layout.parts(of: try inverse.product(ofGradient: row))
    }
}

// MARK: - In checkpoints

extension GradientWindow {
    private enum Name: String, CaseIterable {
        /// f32 `[m, d]`.
        case gradients = "optimizer.window"
        /// f64 `[m, m]`: sums that were taken one by one, and would be others in their last bits if taken together.
        case gram = "optimizer.window.gram"
        /// i32 `[1]`: the row of the oldest gradient.
        case nextRow = "optimizer.window.next_row"
        /// i32 `[d]`: entries that are in the window, where not all are.
        case places = "optimizer.window.places"
    }

    static var names: [String] { Name.allCases.map(\.rawValue) }

    /// What a checkpoint holds of the window, by names that no parameter has. Not changed by later steps.
    public var tensors: [(name: String, tensor: Tensor)] {
        var all = [
            (name: Name.gradients.rawValue, tensor: inverse.gradients), (Name.gram.rawValue, inverse.gram),
            (Name.nextRow.rawValue, Tensor([Int32(inverse.nextRow)])),
        ]
        if let kept = layout.kept { all.append((Name.places.rawValue, Tensor(kept.map(Int32.init)))) }
        return all
    }

    /// The window that ``tensors`` gave.
    ///
    /// - Throws: `.badData` naming the tensor that is missing or does not fit.
    init(
        restoring tensors: [String: Tensor], of optimizer: MFAC, for parameters: [Parameter], source: String
    ) throws {
        func error(_ name: Name, _ message: String) -> CoppiceError {
            CoppiceError(.badData, source: source, field: name.rawValue, message)
        }
        func tensor(_ name: Name, _ type: DataType, _ shape: [Int]) throws -> Tensor {
            guard let tensor = tensors[name.rawValue] else { throw error(name, "is missing") }
            guard tensor.dataType == type, tensor.shape == shape else {
                throw error(name, "is \(tensor.dataType) \(tensor.shape), expected \(type) \(shape)")
            }
            return tensor.copied()
        }
        let counts = parameters.filter(\.isTrainable).map(\.wrappedValue.count)
        let total = counts.reduce(0, +)
        var kept: [Int]?
        if optimizer.isSparse {
            let stored = tensors[Name.places.rawValue]?.shape ?? []
            let places = try tensor(.places, .i32, stored.count == 1 ? stored : [total]).integers()
            guard zip(places, places.dropFirst()).allSatisfy({ $0 < $1 }), places.first ?? -1 >= 0,
                places.last ?? total < total
            else { throw error(.places, "expected increasing places below \(total)") }
            kept = places
        }
        let layout = FlatParameters(counts: counts, kept: kept)
        let m = optimizer.window
        let gradients = try tensor(.gradients, .f32, [m, layout.count])
        let gram = try tensor(.gram, .f64, [m, m])
        let nextRow = try tensor(.nextRow, .i32, [1]).integers()[0]
        do {
            self.init(
                inverse: try InverseFisher(
                    gradients: gradients, gram: gram, dampening: optimizer.dampening, nextRow: nextRow),
                layout: layout)
        } catch {
            throw CoppiceError(.badData, source: source, field: Name.gradients.rawValue, "is damaged: \(error)")
        }
    }
}
