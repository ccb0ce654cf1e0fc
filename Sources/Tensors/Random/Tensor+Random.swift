import CKernels

/// Tensors of random numbers. Each function draws from the generator and advances it; the result depends only on
/// the generator and the arguments, not on the machine or the number of threads. All are O(elements), threaded.
extension Tensor {
    /// Independent numbers, uniform in [`low`, `high`).
    ///
    /// f32 numbers are multiples of 2⁻²⁴ of the range, f64 numbers of 2⁻⁵³. f16 and bf16 are rounded from f32, and
    /// so may equal `high`.
    ///
    /// - Precondition: `low` ≤ `high`, both finite; a floating-point data type.
    public static func uniform(
        _ shape: [Int], low: Double = 0, high: Double = 1, dataType: DataType = .f32,
        using generator: inout RandomGenerator
    ) -> Tensor {
        precondition(low.isFinite && high.isFinite && low <= high, "no numbers in \(low)..<\(high)")
        precondition(dataType.isFloatingPoint, "uniform numbers of type \(dataType)")
        let result = Tensor(uninitialized: shape, dataType: dataType == .f64 ? .f64 : .f32)
        let used =
            dataType == .f64
            ? coppice_random_uniform_f64(result.base(), result.count, generator.state, low, high)
            : coppice_random_uniform_f32(result.base(), result.count, generator.state, Float(low), Float(high))
        generator.advance(blocks: used)
        return result.converted(to: dataType)
    }

    /// Independent normal numbers (Box and Muller's transform, evaluated in f64).
    ///
    /// - Precondition: both parameters are finite, `standardDeviation` ≥ 0; a floating-point data type.
    public static func normal(
        _ shape: [Int], mean: Double = 0, standardDeviation: Double = 1, dataType: DataType = .f32,
        using generator: inout RandomGenerator
    ) -> Tensor {
        precondition(
            mean.isFinite && standardDeviation.isFinite && standardDeviation >= 0,
            "no normal distribution with mean \(mean) and standard deviation \(standardDeviation)")
        precondition(dataType.isFloatingPoint, "normal numbers of type \(dataType)")
        let result = Tensor(uninitialized: shape, dataType: dataType == .f64 ? .f64 : .f32)
        let used =
            dataType == .f64
            ? coppice_random_normal_f64(result.base(), result.count, generator.state, mean, standardDeviation)
            : coppice_random_normal_f32(result.base(), result.count, generator.state, mean, standardDeviation)
        generator.advance(blocks: used)
        return result.converted(to: dataType)
    }

    /// Independent draws that are true (one) with the given probability, resolved to 2⁻³².
    ///
    /// - Precondition: `probability` is in 0...1.
    public static func bernoulli(
        _ shape: [Int], probability: Double, dataType: DataType = .bool, using generator: inout RandomGenerator
    ) -> Tensor {
        precondition((0...1).contains(probability), "\(probability) is not a probability")
        let result = Tensor(uninitialized: shape, dataType: .bool)
        generator.advance(
            blocks: coppice_random_bernoulli_u8(result.base(), result.count, generator.state, probability))
        return result.converted(to: dataType)
    }

    /// `value` with the given probability, else zero: what dropout multiplies by. True where ``bernoulli`` is from
    /// the same state.
    ///
    /// - Precondition: `probability` is in 0...1; a floating-point data type.
    public static func bernoulliMask(
        _ shape: [Int], probability: Double, value: Double, dataType: DataType = .f32,
        using generator: inout RandomGenerator
    ) -> Tensor {
        precondition((0...1).contains(probability), "\(probability) is not a probability")
        precondition(dataType.isFloatingPoint, "a scaled mask of type \(dataType)")
        if dataType == .f64 {
            return bernoulli(shape, probability: probability, dataType: .f64, using: &generator) * value
        }
        let result = Tensor(uninitialized: shape, dataType: .f32)
        generator.advance(
            blocks: coppice_random_mask_f32(
                result.base(), result.count, generator.state, probability, Float(value)))
        return result.converted(to: dataType)
    }

    /// Independent integers, each of `range` equally likely (without bias).
    ///
    /// - Precondition: the range is not empty; an integer data type that holds its bounds.
    public static func randomIntegers(
        _ shape: [Int], in range: Range<Int>, dataType: DataType = .i64, using generator: inout RandomGenerator
    ) -> Tensor {
        precondition(!range.isEmpty, "no integers in \(range)")
        precondition(!dataType.isFloatingPoint, "random integers of type \(dataType)")
        let result = Tensor(uninitialized: shape, dataType: .i64)
        let span = UInt64(bitPattern: Int64(range.upperBound) &- Int64(range.lowerBound))
        generator.advance(
            blocks: coppice_random_integers_i64(
                result.base(), result.count, generator.state, Int64(range.lowerBound), span))
        return result.converted(to: dataType)
    }

    /// The numbers 0..<`count` in random order (i64, shape [`count`]), each order equally likely. O(`count`), one
    /// thread.
    ///
    /// - Precondition: `count` ≥ 0.
    public static func randomPermutation(_ count: Int, using generator: inout RandomGenerator) -> Tensor {
        let result = Tensor(uninitialized: [count], dataType: .i64)
        generator.advance(blocks: coppice_random_permutation_i64(result.base(), count, generator.state))
        return result
    }

    private func base<Element>() -> UnsafeMutablePointer<Element> {
        basePointer.assumingMemoryBound(to: Element.self)
    }
}
