import CoppiceCompression
import CoppiceTensors

extension IterativePruning {
    /// Parts kept after each level: the fewest of equal ratio that is at least 0.79.
    func keptParts(from start: Double, to end: Double) -> [Double] {
        func power(_ x: Double, _ exponent: Double) -> Double {
            Tensor(x, dataType: .f64).power(exponent).doubles()[0]
        }
        var count = 1
        while power(end / start, 1 / Double(count)) < 0.79 { count += 1 }
        return (1...count).map { $0 == count ? end : start * power(end / start, Double($0) / Double(count)) }
    }
}
