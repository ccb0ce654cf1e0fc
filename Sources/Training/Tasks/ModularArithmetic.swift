import CoppiceNetworks
import CoppiceTensors

/// The table of a binary operation modulo p, as a task to learn from a part of it (Power et al., "Grokking:
/// generalization beyond overfitting on small algorithmic datasets", 2022).
///
/// ```swift
/// let task = try ModularArithmetic(.add, modulus: 67)
/// let (train, test) = try task.split(trainFraction: 0.4, seed: 1)
/// ```
public struct ModularArithmetic: Sendable, Hashable {
    public enum Operation: String, Sendable, Hashable, CaseIterable {
        /// a + b modulo p.
        case add
        /// a − b modulo p.
        case subtract = "sub"
        /// a² + ab + b² modulo p.
        case polynomial = "poly"
        /// A class drawn at random for each pair: nothing to generalize from.
        case random
        /// a + b without a modulus, in 2p − 1 of 2p classes.
        case plainSum = "sum"
    }

    public let operation: Operation
    /// p: tokens are 0 ..< p.
    public let modulus: Int
    /// Whether only pairs with a ≤ b are in the table: p (p + 1) / 2 instead of p².
    public let isSymmetric: Bool
    /// The classes of a random table follow from it.
    public let tableSeed: UInt64

    /// - Throws: `.usage` for a modulus outside 2 ... 1,000.
    public init(
        _ operation: Operation, modulus: Int = 67, isSymmetric: Bool = true, tableSeed: UInt64 = 0
    ) throws {
        guard (2...1_000).contains(modulus) else {
            throw CoppiceError(.usage, field: "p", "\(modulus), expected a number from 2 to 1000")
        }
        self.operation = operation
        self.modulus = modulus
        self.isSymmetric = isSymmetric
        self.tableSeed = tableSeed
    }

    /// Number of classes: p, or 2p for a plain sum.
    public var classCount: Int { operation == .plainSum ? 2 * modulus : modulus }

    /// Pairs in the table.
    public var count: Int { isSymmetric ? modulus * (modulus + 1) / 2 : modulus * modulus }

    /// Whether p is a prime number: with another one, `poly` and products have structure of their own.
    public var hasPrimeModulus: Bool {
        !(2..<modulus).contains { $0 * $0 <= modulus && modulus.isMultiple(of: $0) }
    }

    /// All pairs in the order of a, then b: inputs i64 `[count, 2]`, targets i64 `[count]`. O(p²).
    public func table() -> LabeledBatch {
        let pairs = (0..<modulus).flatMap { a in (isSymmetric ? a..<modulus : 0..<modulus).map { (a, $0) } }
        var generator = RandomGenerator(seed: tableSeed, stream: 1)
        let drawn = Tensor.randomIntegers([pairs.count], in: 0..<modulus, using: &generator).integers()
        let classes = zip(pairs, drawn).map { pair, drawn in
            let (a, b) = pair
            switch operation {
            case .add: return (a + b) % modulus
            case .subtract: return (a - b + modulus) % modulus
            case .polynomial: return (a * a + a * b + b * b) % modulus
            case .random: return drawn
            case .plainSum: return a + b
            }
        }
        return LabeledBatch(
            inputs: Tensor(pairs.flatMap { [$0, $1] }, shape: [pairs.count, 2]), targets: Tensor(classes))
    }

    /// The table shuffled and cut in two: the first ⌊f · count⌋ pairs are for training.
    ///
    /// - Throws: `.usage` for a fraction that leaves one part empty.
    public func split(trainFraction: Double, seed: UInt64) throws -> (train: LabeledBatch, test: LabeledBatch) {
        let trainCount =
            trainFraction.isFinite && (0...1).contains(trainFraction)
            ? Int(trainFraction * Double(count)) : 0
        guard trainCount > 0, trainCount < count else {
            throw CoppiceError(
                .usage, field: "frac",
                "\(trainFraction) of \(count) pairs leaves training or test without any, expected more than 0 and "
                    + "less than 1")
        }
        let all = table()
        var generator = RandomGenerator(seed: seed, stream: 2)
        let order = Tensor.randomPermutation(count, using: &generator)
        func part(_ range: Range<Int>) -> LabeledBatch {
            let chosen = order.slice(axis: 0, range)
            return LabeledBatch(inputs: all.inputs.take(chosen), targets: all.targets.take(chosen))
        }
        return (part(0..<trainCount), part(trainCount..<count))
    }
}
