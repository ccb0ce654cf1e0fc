import CoppiceTensors

/// The last m gradients of all trainable parameters of a network, and products with the inverse of their dampened Fisher
/// matrix: what ``MFAC`` remembers beside its velocity.
public struct GradientWindow: Sendable {
    /// The gradients as rows, and the inverse.
    public private(set) var inverse: InverseFisher
    /// How the parameters lie in a row.
    public let layout: FlatParameters
    /// The places of the trainable parameters among all.
    private let places: [Int]
    /// Bitmaps that hold in the whole window, by the parameter's place.
    private var held: [Int: [UInt64]] = [:]

    init(inverse: InverseFisher, layout: FlatParameters, of parameters: [Parameter]) {
        precondition(inverse.count == layout.count, "a window of other parameters")
        self.inverse = inverse
        self.layout = layout
        places = parameters.indices.filter { parameters[$0].isTrainable }
    }

    /// Sets what masks remove to zero in all gradients, so that the inverse is that of the weights that are kept, and
    /// products with gradients that are zero there are zero there. O(1) where the masks are those of the last call, else
    /// O(m d), and O(m² d + m³) where a gradient changes.
    ///
    /// - Parameter masks: the parameter's place among all, and a bitmap of the entries that are kept. Gradients that come
    ///   are zero elsewhere.
    /// - Throws: `.badData` where sums overflow.
    public mutating func hold(_ masks: [(place: Int, words: [UInt64])]) throws {
        var removesMore = false
        for (place, words) in masks where held[place] != words {
            // What returns has zeros in the gradients that there are.
            removesMore = removesMore || held[place].map { zip($0, words).contains { $0 & ~$1 != 0 } } ?? true
            held[place] = words
        }
        guard removesMore else { return }
        var isRemoved: [Bool] = []
        for (place, count) in zip(places, layout.counts) {
            guard let words = held[place] else {
                isRemoved += [Bool](repeating: false, count: count)
                continue
            }
            isRemoved += (0..<count).map { words[$0 / 64] >> UInt64($0 % 64) & 1 == 0 }
        }
        try inverse.clear(layout.kept.map { kept in kept.map { isRemoved[$0] } } ?? isRemoved)
    }

    /// Takes a gradient into the window, for the oldest, and multiplies it, as it is stored there, with the inverse.
    ///
    /// - Parameter gradient: a row of ``layout``.
    /// - Returns: one vector for each trainable parameter, zeros at entries that are not in the window.
    /// - Throws: `.badData` for a gradient that is not finite; the window is as before then.
    mutating func direction(taking gradient: Tensor) throws -> [Tensor] {
        layout.parts(of: try inverse.step(along: gradient))
    }
}

// MARK: - In checkpoints

extension GradientWindow {
    private enum Name: String, CaseIterable {
        /// f32 or bf16 `[m, d]`.
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
        let gradients = try tensor(.gradients, optimizer.storage.dataType, [m, layout.count])
        let gram = try tensor(.gram, .f64, [m, m])
        let nextRow = try tensor(.nextRow, .i32, [1]).integers()[0]
        do {
            self.init(
                inverse: try InverseFisher(
                    gradients: gradients, gram: gram, dampening: optimizer.dampening, nextRow: nextRow),
                layout: layout, of: parameters)
        } catch {
            throw CoppiceError(.badData, source: source, field: Name.gradients.rawValue, "is damaged: \(error)")
        }
    }
}
