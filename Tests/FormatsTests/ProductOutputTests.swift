import CKernels
import CoppiceFormats
import CoppiceTensors
import Foundation
import Testing

/// Biases, residuals and gates in the pass that writes a product: to the bit what separate passes give.
@Suite(.serialized) struct ProductOutputTests {
    private static let columns = 256

    private static func matrix(_ rows: Int, seed: UInt64) -> Tensor { Samples.matrix(rows, columns, seed: seed) }

    /// Weights of `rows` rows of every kind of kernel, and of formats that have none of the shared call.
    private static func weights(_ rows: Int) throws -> [any WeightFormat] {
        let dense = matrix(rows, seed: 3), integers = IntegerQuantization(bits: 4, groupSize: 32)
        let halved = Samples.floats(rows * columns, seed: 2).enumerated().map { $0 % 2 == 0 ? 0 : $1 }
        let sparse = Tensor(halved, shape: [rows, columns])
        return [
            try DenseWeight(dense.converted(to: .bf16)), try DenseWeight(dense),
            try IntegerGroupWeight(quantizing: dense, integers),
            try IntegerGroupWeight(quantizing: dense, IntegerQuantization(bits: 8, groupSize: 64)),
            try BlockWeight(encoding: dense, as: .q6_k),
            try BitmaskSparseWeight(packing: sparse, values: .integer(integers)),
            try BitmaskSparseWeight(packing: sparse, values: .float(.bf16)),
            try LowRankWeight(factoring: dense, .rank(3), values: .float(.f32)),
        ]
    }

    /// Memory with gaps between rows, which must stay as they are.
    private struct Rows {
        static let gap = 3
        let buffer: UnsafeMutableBufferPointer<Float>
        let rows: OutputRows
        private let all: UnsafeMutablePointer<Float>

        init(_ values: [Float], rows count: Int) {
            let columns = values.count / count, stride = columns + Self.gap
            all = .allocate(capacity: count * stride)
            all.initialize(repeating: 777, count: count * stride)
            for row in 0..<count {
                for column in 0..<columns { all[row * stride + column] = values[row * columns + column] }
            }
            buffer = UnsafeMutableBufferPointer(start: all, count: count * stride)
            rows = OutputRows(all, rows: count, columns: columns, stride: stride)
        }

        var bits: [UInt32] { buffer.map(\.bitPattern) }
        func free() { all.deallocate() }
    }

    private static func bare(_ weight: any WeightFormat, _ x: Tensor) -> [Float] { weight.multiply(x).floats() }

    private static func withActivations(_ x: Tensor, _ body: (ActivationRows) -> Void) {
        x.withElements(Float.self) {
            guard let from = $0.baseAddress else { return }
            body(ActivationRows(from, rows: x.shape[0], columns: columns, stride: columns))
        }
    }

    private static func plus(_ y: [Float], bias: [Float]) -> [Float] {
        y.indices.map { y[$0] + bias[$0 % bias.count] }
    }

    @Test func biasAndResidual() throws {
        for outputs in [1, 37, 130] {
            let bias = Samples.floats(outputs, seed: 8)
            for weight in try Self.weights(outputs) {
                atEveryLevel { level in
                    for count in [1, 2, 3, 8, 9, 40] {
                        let x = Self.matrix(count, seed: UInt64(count))
                        let residual = Samples.floats(count * outputs, seed: 77)
                        let product = Self.plus(Self.bare(weight, x), bias: bias)
                        let sum = Rows(zip(residual, product).map { $0 + $1 }, rows: count)
                        let y = Rows([Float](repeating: .nan, count: count * outputs), rows: count)
                        let target = Rows(residual, rows: count)
                        defer { for rows in [sum, y, target] { rows.free() } }
                        bias.withUnsafeBufferPointer { bias in
                            Self.withActivations(x) {
                                WeightGroup([weight]).multiply(
                                    $0, into: [ProductOutput(y.rows, bias: bias.baseAddress, .adding(target.rows))])
                            }
                        }
                        #expect(
                            target.bits == sum.bits,
                            "\(weight.label), \(outputs) outputs × \(count) at level \(level.rawValue)")
                    }
                }
            }
        }
    }

    @Test func gates() throws {
        for outputs in [1, 37, 130, 2000] {
            // Every kind with itself, and pairs of kinds: rows beside panels, formats outside the shared call.
            let kinds = try Self.weights(outputs)
            let pairs = zip(kinds, kinds.dropFirst() + kinds.prefix(1)).map { [$0, $1] } + kinds.map { [$0, $0] }
            let bias = Samples.floats(outputs, seed: 8)
            for pair in outputs == 2000 ? Array(pairs.suffix(kinds.count).prefix(5)) : pairs {
                atEveryLevel { level in
                    for count in [1, 3, 8, 9, 20] {
                        let x = Self.matrix(count, seed: UInt64(count))
                        var gate = Self.plus(Self.bare(pair[0], x), bias: bias)
                        let up = Self.plus(Self.bare(pair[1], x), bias: bias)
                        coppice_decoder_silu_gate(&gate, up, gate.count)
                        let expected = Rows(gate, rows: count)
                        let outputs = [Float](repeating: .nan, count: up.count)
                        let y = [Rows(outputs, rows: count), Rows(outputs, rows: count)]
                        defer { for rows in y + [expected] { rows.free() } }
                        bias.withUnsafeBufferPointer { bias in
                            Self.withActivations(x) {
                                WeightGroup(pair).multiply(
                                    $0,
                                    into: [
                                        ProductOutput(y[0].rows, bias: bias.baseAddress),
                                        ProductOutput(y[1].rows, bias: bias.baseAddress, .gating(y[0].rows)),
                                    ])
                            }
                        }
                        #expect(
                            y[0].bits == expected.bits,
                            "\(pair[0].label) and \(pair[1].label) × \(count) at level \(level.rawValue)")
                    }
                }
            }
        }
    }

    @Test func gateAndUpWhereOnlyOneReadsRows() throws {
        let weight = try DenseWeight(Self.matrix(70, seed: 4).converted(to: .bf16))
        let other = try DenseWeight(Self.matrix(70, seed: 5))
        let x = Self.matrix(5, seed: 1)
        for pair in [[weight, other], [other, weight]] {
            atEveryLevel { level in
                // The table makes one format share panels from two rows on.
                let table = KernelTable(fewRows: ["bf16": 1])
                let empty = [Float](repeating: .nan, count: 5 * 70)
                let fused = [Rows(empty, rows: 5), Rows(empty, rows: 5)]
                let bare = [Rows(empty, rows: 5), Rows(empty, rows: 5)]
                defer { for rows in fused + bare { rows.free() } }
                Self.withActivations(x) {
                    let group = WeightGroup(pair, kernels: table)
                    group.multiply(
                        $0, into: [ProductOutput(fused[0].rows), ProductOutput(fused[1].rows, .gating(fused[0].rows))])
                    group.multiply($0, into: bare.map(\.rows))
                }
                for row in 0..<5 {
                    let stride = bare[0].rows.stride
                    coppice_decoder_silu_gate(
                        bare[0].rows.base + row * stride, bare[1].rows.base + row * stride, 70)
                }
                #expect(fused[0].bits == bare[0].bits, "level \(level.rawValue)")
            }
        }
    }

    @Test func resultsDoNotDependOnThreads() throws {
        let usual = coppice_thread_count()
        defer { coppice_set_thread_count(usual) }
        let outputs = 700, bias = Samples.floats(outputs, seed: 8)
        for weight in try Self.weights(outputs) {
            for count in [1, 8, 40] {
                let x = Self.matrix(count, seed: 21)
                var found: [[UInt32]] = []
                for threads in [1, 2, 3, 4] {
                    coppice_set_thread_count(Int32(threads))
                    let empty = [Float](repeating: .nan, count: count * outputs)
                    let y = [Rows(empty, rows: count), Rows(empty, rows: count)]
                    defer { for rows in y { rows.free() } }
                    bias.withUnsafeBufferPointer { bias in
                        Self.withActivations(x) {
                            WeightGroup([weight, weight]).multiply(
                                $0,
                                into: [
                                    ProductOutput(y[0].rows, bias: bias.baseAddress),
                                    ProductOutput(y[1].rows, .gating(y[0].rows)),
                                ])
                        }
                    }
                    found.append(y[0].bits)
                }
                #expect(found.allSatisfy { $0 == found[0] }, "\(weight.label) × \(count)")
            }
        }
    }
}
