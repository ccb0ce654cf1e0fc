import CKernels

/// Which kernel a machine multiplies with: for each format, up to how many rows of activations a weight is best read
/// row by row. More rows share panels of it.
///
/// The standard table is each kernel's own; ``measure(_:passes:progress:)`` makes one for the machine at hand.
public struct KernelTable: Sendable, Hashable {
    /// By ``WeightFormat/label``. Formats that are not named keep their kernels' own numbers.
    public var fewRows: [String: Int]

    public init(fewRows: [String: Int] = [:]) { self.fewRows = fewRows }

    /// Each kernel's own choice.
    public static let standard = KernelTable()

    /// Calls `body` with the kernel that the table chooses for `weight` and such activations.
    func withRowKernel<Result>(
        _ weight: any RowKernelWeight, fewRows: Int?, for x: ActivationRows, _ body: (coppice_row_kernel) -> Result
    ) -> Result {
        weight.withRowKernel(for: x.rows > (fewRows ?? .max) ? x.asMany : x, body)
    }

    /// What is used for a weight.
    public func choice(for weight: any WeightFormat, mayNarrow: Bool = false) -> KernelChoice? {
        guard let weight = weight as? any RowKernelWeight else { return nil }
        return withUnsafeTemporaryAllocation(of: Float.self, capacity: 1) { buffer -> KernelChoice? in
            guard let base = buffer.baseAddress else { return nil }
            func kernel(_ rows: Int) -> (readsRows: Bool, reads: KernelChoice.Activations) {
                let x = ActivationRows(
                    base, rows: rows, columns: weight.columns, stride: weight.columns, mayNarrow: mayNarrow)
                return withRowKernel(weight, fewRows: fewRows[weight.label], for: x) {
                    ($0.multiply_rows != nil, KernelChoice.Activations($0.reads))
                }
            }
            let few = (1...KernelChoice.mostRows).last { kernel($0).readsRows } ?? 0
            return KernelChoice(
                fewRows: few, few: few > 0 ? kernel(1).reads : nil, many: kernel(KernelChoice.mostRows * 2).reads)
        }
    }
}

/// The kernels of one weight.
public struct KernelChoice: Sendable, Hashable, CustomStringConvertible {
    /// What a kernel reads activations as.
    public enum Activations: String, Sendable {
        case f32
        /// Rounded to 8-bit integers.
        case int8
        case bf16

        init(_ form: coppice_activation_form) {
            switch form {
            case COPPICE_READS_INTEGERS: self = .int8
            case COPPICE_READS_BF16: self = .bf16
            default: self = .f32
            }
        }
    }

    /// More rows of activations than any kernel reads a weight row by row for.
    static let mostRows = 64

    /// Up to so many rows of activations the weight is read row by row; 0: never.
    public let fewRows: Int
    /// What they are read as then.
    public let few: Activations?
    /// What more rows, which share panels, are read as.
    public let many: Activations

    public var description: String {
        guard let few else { return "panels \(many.rawValue)" }
        return "rows \(few.rawValue) to \(fewRows), panels \(many.rawValue)"
    }
}

extension ActivationRows {
    /// The same memory, said to be so many rows that any kernel shares panels for them.
    fileprivate var asMany: ActivationRows {
        ActivationRows(base, rows: 1 << 20, columns: columns, stride: stride, mayNarrow: mayNarrow)
    }
}

extension KernelTable {
    /// Measures, for each weight that has kernels of both kinds, up to how many rows its rows are read faster than
    /// panels. Takes some seconds for weights of some megabytes.
    ///
    /// Passes go over all weights, so that weights that together exceed the processor's caches come from memory, as a
    /// model's do.
    ///
    /// - Parameters:
    ///   - passes: products of each kind that are timed, of which the fastest counts.
    ///   - progress: called with the numbers of rows done and all of them.
    public static func measure(
        _ weights: [any WeightFormat], passes: Int = 5, progress: (Int, Int) -> Void = { _, _ in }
    ) -> KernelTable {
        let own = weights.map { standard.choice(for: $0).flatMap { $0.few == nil ? nil : $0.fewRows } }
        let counts = [2, 3, 4, 5, 6, 7, 8, 12, 16, 24]
        var table = KernelTable()
        var isDecided = own.map { $0 == nil }
        for (step, rows) in counts.enumerated() {
            let open = weights.indices.filter { !isDecided[$0] && rows <= (own[$0] ?? 0) }
            let byRows = fastest(open.map { weights[$0] }, rows: rows, passes: passes, panels: false)
            let byPanels = fastest(open.map { weights[$0] }, rows: rows, passes: passes, panels: true)
            for (position, index) in open.enumerated() where byPanels[position] * 1.05 < byRows[position] {
                // Panels must win clearly: noise should not take a kernel's own choice away.
                table.fewRows[weights[index].label] = step == 0 ? 1 : counts[step - 1]
                isDecided[index] = true
            }
            progress(step + 1, counts.count)
        }
        for index in weights.indices where !isDecided[index] { table.fewRows[weights[index].label] = own[index] }
        return table
    }

    /// The fastest product of each weight with so many rows.
    private static func fastest(
        _ weights: [any WeightFormat], rows: Int, passes: Int, panels: Bool
    ) -> [Duration] {
        let groups = weights.map {
            WeightGroup([$0], kernels: panels ? KernelTable(fewRows: [$0.label: 1]) : .standard)
        }
        var best = [Duration](repeating: .seconds(1 << 20), count: weights.count)
        let x = [Float](repeating: 0.5, count: rows * (weights.map(\.columns).max() ?? 0))
        var y = [Float](repeating: 0, count: rows * (weights.map(\.rows).max() ?? 0))
        x.withUnsafeBufferPointer { input in
            y.withUnsafeMutableBufferPointer { output in
                guard let from = input.baseAddress, let to = output.baseAddress else { return }
                for _ in 0..<passes {
                    for (index, weight) in weights.enumerated() {
                        let activations = ActivationRows(
                            from, rows: rows, columns: weight.columns, stride: weight.columns)
                        let result = OutputRows(to, rows: rows, columns: weight.rows, stride: weight.rows)
                        let time = ContinuousClock().measure {
                            groups[index].multiply(activations, into: [result])
                        }
                        best[index] = min(best[index], time)
                    }
                }
            }
        }
        return best
    }
}
