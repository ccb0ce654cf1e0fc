import CoppiceTensors

/// M-FAC's algorithms as the paper writes them, in f64 and one number at a time: what the library's form is held
/// against.
enum Oracle {
    /// λI + (1/m) Σ gᵢgᵢᵀ.
    static func fisher(_ g: [[Double]], _ dampening: Double) -> [[Double]] {
        let (m, d) = (g.count, g[0].count)
        return (0..<d).map { k in
            (0..<d).map { l in
                (k == l ? dampening : 0) + g.reduce(0) { $0 + $1[k] * $1[l] } / Double(m)
            }
        }
    }

    /// F⁻¹ by Gauss-Jordan elimination with pivoting.
    static func inverse(_ matrix: [[Double]]) -> [[Double]] {
        let n = matrix.count
        var a = matrix
        var b = (0..<n).map { i in (0..<n).map { $0 == i ? 1.0 : 0 } }
        for column in 0..<n {
            let pivot = (column..<n).max { abs(a[$0][column]) < abs(a[$1][column]) }!
            a.swapAt(column, pivot)
            b.swapAt(column, pivot)
            let scale = 1 / a[column][column]
            for k in 0..<n {
                a[column][k] *= scale
                b[column][k] *= scale
            }
            for row in 0..<n where row != column {
                let factor = a[row][column]
                for k in 0..<n {
                    a[row][k] -= factor * a[column][k]
                    b[row][k] -= factor * b[column][k]
                }
            }
        }
        return b
    }

    static func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }

    /// The static algorithm: vᵢ = Fᵢ₋₁⁻¹gᵢ, qᵢ = m + gᵢᵀvᵢ, one Sherman-Morrison step after the other.
    static func staticProduct(_ g: [[Double]], _ dampening: Double, _ x: [Double]) -> [Double] {
        var (v, q): ([[Double]], [Double]) = ([], [])
        func apply(_ x: [Double]) -> [Double] {
            var result = x.map { $0 / dampening }
            for (v, q) in zip(v, q) {
                let scale = dot(v, x) / q
                for k in result.indices { result[k] -= v[k] * scale }
            }
            return result
        }
        for row in g {
            let own = apply(row)
            q.append(Double(g.count) + dot(row, own))
            v.append(own)
        }
        return apply(x)
    }

    /// The dynamic algorithm: everything of size d enters through scalar products of gradients.
    static func dynamicProduct(_ g: [[Double]], _ dampening: Double, _ x: [Double]) -> [Double] {
        let m = g.count
        // Row i of the eliminated matrix holds gᵢᵀFᵢ₋₁⁻¹gₖ for k ≥ i.
        var e = (0..<m).map { i in (0..<m).map { dot(g[i], g[$0]) / dampening } }
        for i in 0..<m {
            let q = Double(m) + e[i][i]
            for j in i + 1..<max(m, i + 1) {
                for k in j..<m { e[j][k] -= e[i][j] * e[i][k] / q }
            }
        }
        var b = (0..<m).map { i in (0..<m).map { $0 == i ? 1 / dampening : 0 } }
        for i in 0..<m {
            for j in 0..<i {
                let q = Double(m) + e[j][j]
                for k in 0...j { b[i][k] -= e[j][i] / q * b[j][k] }
            }
        }
        let t = g.map { dot($0, x) }
        var coefficients = [Double](repeating: 0, count: m)
        for i in 0..<m {
            let z = (0...i).reduce(0) { $0 + b[i][$1] * t[$1] } / (Double(m) + e[i][i])
            for k in 0...i { coefficients[k] += b[i][k] * z }
        }
        return x.indices.map { k in
            x[k] / dampening - (0..<m).reduce(0) { $0 + coefficients[$1] * g[$1][k] }
        }
    }
}

/// Rows of a matrix.
func rows(_ tensor: Tensor) -> [[Double]] { (0..<tensor.shape[0]).map { tensor[$0].doubles() } }

/// The largest difference, relative to the largest entry of what is expected.
func distance(_ a: [Double], _ expected: [Double]) -> Double {
    precondition(a.count == expected.count, "\(a.count) numbers for \(expected.count)")
    return zip(a, expected).map { abs($0 - $1) }.max()! / expected.map(abs).max()!
}
