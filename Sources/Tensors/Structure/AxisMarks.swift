/// What is known of one position along an axis of a tensor.
enum AxisMark: Sendable, Hashable {
    /// It is an element of ``AxisClasses``: it goes when the others of its class go.
    case element(Int)
    /// It is data's: it stays.
    case fixed
    /// It is there because of the tensor's extent alone (a repeated or constant value): it follows what it meets.
    case free
}

/// The positions along one axis. An axis that a reshape made of several is a product of factors, the last one running
/// fastest; an axis of extent 1 has no factor.
struct AxisMarks: Sendable {
    /// Marks of each factor.
    var factors: [[AxisMark]]

    init(_ factors: [[AxisMark]]) { self.factors = factors.filter { $0.count != 1 } }

    static func uniform(_ mark: AxisMark, _ extent: Int) -> AxisMarks {
        AxisMarks([[AxisMark](repeating: mark, count: extent)])
    }

    var extent: Int { factors.reduce(1) { $0 * $1.count } }
    var hasElements: Bool { factors.contains(where: Self.hasElements) }
    /// Whether it follows whatever it meets.
    var isFree: Bool { factors.allSatisfy { $0.allSatisfy { $0 == .free } } }

    /// All elements, those of several factors included.
    var elements: [Int] { factors.flatMap { $0.compactMap(\.element) } }

    static func hasElements(_ marks: [AxisMark]) -> Bool { marks.contains { $0.element != nil } }

    /// The marks of all positions; nil where more than one factor has elements, so that a position would belong to two.
    var positions: [AxisMark]? {
        let marked = factors.indices.filter { Self.hasElements(factors[$0]) }
        guard let own = marked.first else {
            return [AxisMark](repeating: isFree && !factors.isEmpty ? .free : .fixed, count: extent)
        }
        guard marked.count == 1 else { return nil }
        if factors.count == 1 { return factors[0] }
        let inner = factors[(own + 1)...].reduce(1) { $0 * $1.count }
        let marks = factors[own]
        return (0..<extent).map { marks[$0 / inner % marks.count] }
    }
}

extension AxisMark {
    var element: Int? {
        if case .element(let element) = self { element } else { nil }
    }
}
