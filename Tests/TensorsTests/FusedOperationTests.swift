import CoppiceTensors
import Foundation
import Testing

/// A fused operation as a function of tensors: in f32 it runs kernels, in f64 its composition of primitives.
private struct Fused: CustomTestStringConvertible, Sendable {
    var name: String
    var shapes: [[Int]]
    var function: @Sendable ([Tensor]) -> Tensor
    var testDescription: String { "\(name) of \(shapes)" }

    static let targets = Tensor([2, 0, -1, 4, 4, 1])
    static let angles = GradientCheck.numbers([3, 2], from: 0, to: 3, seed: 50)

    static let all: [Fused] = [
        .init(name: "softmax", shapes: [[2, 5]]) { $0[0].softmax() },
        .init(name: "softmax", shapes: [[3, 33]]) { $0[0].softmax(scale: 0.3) },
        .init(name: "softmax", shapes: [[1]]) { $0[0].softmax(scale: -2) },
        .init(name: "causal softmax", shapes: [[2, 4, 4]]) { $0[0].softmax(scale: 0.7, visibility: .causal()) },
        .init(name: "windowed softmax", shapes: [[2, 3, 7]]) {
            $0[0].softmax(visibility: .causal(firstQuery: 4, window: 3))
        },
        .init(name: "log softmax", shapes: [[3, 4]]) { $0[0].logSoftmax() },
        .init(name: "cross entropy", shapes: [[6, 5]]) { $0[0].crossEntropy(targets: targets) },
        .init(name: "cross entropy", shapes: [[2, 3, 40]]) { $0[0].crossEntropy(targets: targets.reshaped([2, 3])) },
        .init(name: "RMS normalization", shapes: [[3, 5], [5]]) { $0[0].rmsNormalized(weight: $0[1], epsilon: 1e-5) },
        .init(name: "RMS normalization", shapes: [[2, 2, 67], [67]]) {
            $0[0].rmsNormalized(weight: $0[1], epsilon: 0.1)
        },
        .init(name: "RMS normalization", shapes: [[300, 2], [2]]) { $0[0].rmsNormalized(weight: $0[1], epsilon: 0.1) },
        .init(name: "layer normalization", shapes: [[3, 5], [5], [5]]) {
            $0[0].layerNormalized(weight: $0[1], bias: $0[2], epsilon: 0.1)
        },
        .init(name: "layer normalization", shapes: [[65, 2, 7], [7], [7]]) {
            $0[0].layerNormalized(weight: $0[1], bias: $0[2], epsilon: 0.1)
        },
        .init(name: "GELU", shapes: [[4, 5]]) { $0[0].gelu() },
        .init(name: "gated SiLU", shapes: [[3, 5], [3, 5]]) { .gatedSiLU(gate: $0[0], up: $0[1]) },
        .init(name: "rotary embedding", shapes: [[2, 3, 2, 4]]) {
            $0[0].rotated(cosine: angles.cos(), sine: angles.sin())
        },
        .init(name: "linear cross entropy", shapes: [[6, 3], [5, 3]]) {
            $0[0].linearCrossEntropy(weight: $0[1], targets: targets)
        },
        .init(name: "linear cross entropy", shapes: [[2, 3, 17], [40, 17]]) {
            $0[0].linearCrossEntropy(weight: $0[1], targets: targets.reshaped([2, 3])) * $0[1].sum()
        },
        .init(name: "batch normalization", shapes: [[3, 2, 2, 2], [2], [2]]) { normalized($0) },
        .init(name: "batch normalization", shapes: [[9, 5], [5], [5]]) { normalized($0) },
        .init(name: "rectified batch normalization", shapes: [[2, 4, 3, 2], [4], [4]]) {
            normalized($0, rectifies: true)
        },
        .init(name: "batch normalization and residual", shapes: [[3, 2, 1, 2], [2], [2], [3, 2, 1, 2]]) {
            normalized($0)
        },
        .init(name: "rectified batch normalization and residual", shapes: [[3, 3, 2, 2], [3], [3], [3, 3, 2, 2]]) {
            normalized($0, rectifies: true)
        },
        .init(name: "batch normalization, channels last", shapes: [[3, 16, 3, 1], [16], [16]]) {
            normalized([$0[0].channelsLast()] + $0.dropFirst(), rectifies: true)
        },
        .init(name: "batch normalization, channels last", shapes: [[2, 6, 2, 2], [6], [6], [2, 6, 2, 2]]) {
            normalized([$0[0].channelsLast()] + $0.dropFirst(), rectifies: true)
        },
        .init(name: "gated batch normalization", shapes: [[3, 2, 2, 2], [2], [2], [3, 2]]) { gated($0) },
        .init(name: "gated batch normalization", shapes: [[5, 3], [3], [3], [5, 1]]) { gated($0, rectifies: true) },
        .init(name: "gated batch normalization, channels last", shapes: [[2, 16, 3, 2], [16], [16], [1, 16]]) {
            gated([$0[0].channelsLast()] + $0.dropFirst(), rectifies: true)
        },
        .init(
            name: "gated batch normalization and residual", shapes: [[3, 2, 1, 2], [2], [2], [3, 1], [3, 2, 1, 2]]
        ) {
            gated($0)
        },
        .init(
            name: "gated batch normalization and residual, channels last",
            shapes: [[3, 6, 2, 2], [6], [6], [3, 6], [3, 6, 2, 2]]
        ) {
            gated([$0[0].channelsLast()] + $0.dropFirst(), rectifies: true)
        },
        .init(name: "scaled sum", shapes: [[3, 2, 2, 2], [3, 1], [3, 2, 2, 2]]) {
            $0[0].scaled(by: $0[1], adding: $0[2])
        },
        .init(name: "scaled sum, channels last", shapes: [[2, 16, 3, 2], [2, 16], [2, 16, 3, 2]]) {
            $0[0].channelsLast().scaled(by: $0[1], adding: $0[2])
        },
        .init(name: "means over images", shapes: [[3, 2, 2, 3]]) { $0[0].imageMeans() },
        .init(name: "means over images, channels last", shapes: [[2, 16, 5, 3]]) { $0[0].channelsLast().imageMeans() },
    ]

    static func normalized(_ inputs: [Tensor], rectifies: Bool = false) -> Tensor {
        inputs[0].batchNormalized(
            weight: inputs[1], bias: inputs[2], epsilon: 0.1, adding: inputs.count > 3 ? inputs[3] : nil,
            rectifies: rectifies
        ).output
    }

    static func gated(_ inputs: [Tensor], rectifies: Bool = false) -> Tensor {
        inputs[0].batchNormalized(
            weight: inputs[1], bias: inputs[2], epsilon: 0.1, times: inputs[3].square(),
            adding: inputs.count > 4 ? inputs[4] : nil, rectifies: rectifies
        ).output
    }

    var inputs: [Tensor] { shapes.enumerated().map { GradientCheck.numbers($1, seed: UInt64($0 + 1)) } }
}

@Suite struct FusedDerivativeTests {
    @Test(arguments: Fused.all) fileprivate func derivatives(_ fused: Fused) {
        GradientCheck(fused.name, fused.inputs) { fused.function($0).square() }.check()
    }
}

extension SerializedByVariant {
    @Suite struct FusedKernelTests {
        /// Values, gradients and Hessian products by f32 kernels equal those by f64 primitives.
        @Test(arguments: Fused.all) fileprivate func kernelsEqualCompositions(_ fused: Fused) {
            func loss(_ inputs: [Tensor]) -> Tensor {
                let y = fused.function(inputs)
                return (y * GradientCheck.numbers(y.shape, seed: 9).converted(to: y.dataType)).square().sum()
            }
            let exact = fused.inputs
            let directions = exact.map { GradientCheck.numbers($0.shape, seed: 77) }
            let value = PlainArray(fused.function(exact))
            let tracked = exact.map { $0.tracked() }
            let first = gradients(of: loss(tracked), withRespectTo: tracked)
            let second = hessianVectorProduct(of: loss, at: exact, direction: directions)
            underEveryVariant { variant in
                let inputs = exact.map { $0.converted(to: .f32).tracked() }
                let result = fused.function(inputs)
                #expect(result.dataType == .f32)
                #expect(result.matches(value, relative: 3e-6, absolute: 3e-6), "\(variant)")
                for (gradient, expected) in zip(gradients(of: loss(inputs), withRespectTo: inputs), first) {
                    #expect(relativeError(gradient, expected.doubles()) < 2e-5, "\(variant)")
                }
                let products = hessianVectorProduct(
                    of: loss, at: inputs, direction: directions.map { $0.converted(to: .f32) })
                for (product, expected) in zip(products, second) {
                    #expect(relativeError(product, expected.doubles()) < 5e-5, "\(variant)")
                }
            }
        }

        /// Far below zero, where 1 + erf(x / √2) has no digit left, and at numbers whose squares overflow.
        @Test func geluKeepsItsDigits() {
            let x: [Float] = [-30, -12, -9, -6, -3, -1, -1e-3, 0, 1e-3, 0.5, 1, 4, 30, -1e20, 1e20]
            let expected = x.map { Double($0) * 0.5 * erfc(-Double($0) / 2.0.squareRoot()) }
            underEveryVariant(threads: [1]) { variant in
                for (value, exact) in zip(Tensor(x).gelu().floats(), expected) {
                    #expect(abs(Double(value) - exact) <= 8e-6 * abs(exact) + 1e-37, "\(variant): \(exact)")
                }
            }
        }

        @Test func extremeLogits() {
            underEveryVariant(threads: [1]) { variant in
                let x = Tensor([1000, 0, -1000, -1000, -1000, -1000] as [Float], shape: [2, 3])
                let expected: [Float] = [1, 0, 0, 1.0 / 3, 1.0 / 3, 1.0 / 3]
                #expect(x.softmax().floats() == expected, "\(variant)")
                let loss = x.crossEntropy(targets: Tensor([1, 0])).floats()
                #expect(loss[0] == 1000 && abs(loss[1] - 1.0986123) < 1e-6, "\(variant)")
                let masked = Tensor([1, .infinity, 2, 3] as [Float], shape: [2, 2]).softmax(visibility: .causal())
                #expect(Array(masked.floats()[0..<2]) == [1, 0], "\(variant)")
            }
        }

        @Test func emptyRows() {
            #expect(Tensor.zeros([0, 3]).softmax().shape == [0, 3])
            #expect(Tensor.zeros([0, 3]).crossEntropy(targets: Tensor([Int](), shape: [0])).shape == [0])
            #expect(Tensor.zeros([0, 3]).rmsNormalized(weight: .ones([3]), epsilon: 1).shape == [0, 3])
            let (x, w) = (Tensor.zeros([0, 3]).tracked(), Tensor.ones([3]).tracked())
            let y = x.layerNormalized(weight: w, bias: w, epsilon: 1)
            #expect(y.shape == [0, 3])
            #expect(gradients(of: y.sum(), withRespectTo: [x, w]).map(\.shape) == [[0, 3], [3]])
        }
    }
}
