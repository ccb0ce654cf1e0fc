import CoppiceTensors
import CoppiceTraining
import Foundation
import Testing

@Suite struct ScalingLawTests {
    private static let law = ScalingLaw(
        irreducibleLoss: 1.7, parameterScale: 300, tokenScale: 900, parameterExponent: 0.33, tokenExponent: 0.31)

    /// Six sizes by six token counts, the losses of a law times exp of noise.
    private func runs(_ law: ScalingLaw, noise: Double = 0, seed: UInt64 = 1) -> [ScalingRun] {
        var generator = RandomGenerator(seed: seed)
        func normal() -> Double {
            let (u, v) = (Double.random(in: 1e-12..<1, using: &generator), Double.random(in: 0..<1, using: &generator))
            return (-2 * log(u)).squareRoot() * cos(2 * .pi * v)
        }
        return (0..<36).map { index in
            let parameters = 1e7 * pow(3, Double(index % 6))
            let tokens = 2e8 * pow(3, Double(index / 6))
            let loss = law.loss(parameters: parameters, tokens: tokens)
            return ScalingRun(averageParameters: parameters, tokens: tokens, loss: loss * exp(noise * normal()))
        }
    }

    @Test(arguments: [law, .chinchilla]) func noiselessRunsGiveTheirLawBack(law: ScalingLaw) throws {
        var options = ScalingLawFit.Options()
        options.bootstrapCount = 0
        let fit = try ScalingLawFit(runs(law), options: options).law
        #expect(abs(fit.irreducibleLoss / law.irreducibleLoss - 1) < 1e-4)
        #expect(abs(fit.parameterScale / law.parameterScale - 1) < 1e-4)
        #expect(abs(fit.tokenScale / law.tokenScale - 1) < 1e-4)
        #expect(abs(fit.parameterExponent / law.parameterExponent - 1) < 1e-4)
        #expect(abs(fit.tokenExponent / law.tokenExponent - 1) < 1e-4)
    }

    @Test func intervalsOfNoisyRunsHoldTheLaw() throws {
        var options = ScalingLawFit.Options()
        options.bootstrapCount = 60
        options.startCount = 20
        let law = Self.law
        let fit = try ScalingLawFit(runs(law, noise: 0.01), options: options)
        let intervals = try #require(fit.intervals)
        #expect(intervals.irreducibleLoss.contains(law.irreducibleLoss))
        #expect(intervals.parameterScale.contains(law.parameterScale))
        #expect(intervals.tokenScale.contains(law.tokenScale))
        #expect(intervals.parameterExponent.contains(law.parameterExponent))
        #expect(intervals.tokenExponent.contains(law.tokenExponent))
        #expect(intervals.irreducibleLoss.contains(fit.law.irreducibleLoss))
        #expect(intervals.parameterExponent.upperBound - intervals.parameterExponent.lowerBound < 0.2)
        #expect(ScalingLawFit.meanRelativeError(of: fit.law, on: fit.runs) < 0.012)
        // Twice the same.
        #expect(try ScalingLawFit(runs(law, noise: 0.01), options: options) == fit)
    }

    /// Two token counts leave the exponent open, which must not end in a law without numbers.
    @Test func nearlyEqualRunsGiveALawOfNumbers() throws {
        var options = ScalingLawFit.Options()
        options.bootstrapCount = 0
        let losses = [2.035, 2.026, 1.994, 2.041, 2.048, 1.952, 2.095, 2.115, 2.092, 2.137, 2.138, 2.042]
        let runs = losses.enumerated().map { index, loss in
            ScalingRun(
                averageParameters: [19_712, 39_440, 60_192][index % 3], tokens: index < 6 ? 1_026_048 : 670_720,
                loss: loss)
        }
        let law = try ScalingLawFit(runs, options: options).law
        for value in [law.irreducibleLoss, law.parameterScale, law.tokenScale] {
            #expect(value.isFinite && value >= 0)
        }
        #expect(ScalingLawFit.meanRelativeError(of: law, on: runs) < 0.02)
    }

    /// Losses that fall faster from one token count to the next than any exponent that is allowed: the best law has β at the
    /// bound, with all else at its best for that β.
    @Test func anExponentAtItsBoundIsTheBestThereAndSaidToBe() throws {
        let falls: [Double] = [1, 0.1, 0.01]
        let runs = (0..<9).map { index -> ScalingRun in
            let (parameters, tokens) = (1e6 * pow(3, Double(index % 3)), 1e8 * pow(1.2, Double(index / 3)))
            let loss = 2 + 40 / pow(parameters, 0.3) + falls[index / 3]
            return ScalingRun(averageParameters: parameters, tokens: tokens, loss: loss)
        }
        var options = ScalingLawFit.Options()
        (options.bootstrapCount, options.threshold) = (0, 0.1)
        let fit = try ScalingLawFit(runs, options: options)
        #expect(fit.undetermined == [.beta])
        #expect(abs(fit.law.tokenExponent / ScalingLawFit.largestExponent - 1) < 1e-6)
        /// The mean of Huber's losses in units of δ², with B about the mean of ln D.
        func objective(_ law: ScalingLaw) -> Double {
            runs.reduce(0) { sum, run in
                let error =
                    abs(log(law.loss(parameters: run.averageParameters, tokens: run.tokens)) - log(run.loss))
                    / options.threshold
                return sum + (error <= 1 ? error * error / 2 : error - 0.5) / Double(runs.count)
            }
        }
        let best = objective(fit.law)
        #expect(abs(best / fit.objective - 1) < 1e-6)
        let (size, tokens) = (3e6, 1.2e8)
        for factor in [0.98, 0.999, 1.001, 1.02] {
            var others = [ScalingLaw](repeating: fit.law, count: 5)
            others[0].irreducibleLoss *= factor
            others[1].parameterScale *= factor
            others[2].tokenScale *= factor
            others[3].parameterExponent *= factor
            others[3].parameterScale *= pow(size, others[3].parameterExponent - fit.law.parameterExponent)
            // Away from the bound, as far as that is allowed.
            others[4].tokenExponent *= min(factor, 2 - factor)
            others[4].tokenScale *= pow(tokens, others[4].tokenExponent - fit.law.tokenExponent)
            for (place, other) in others.enumerated() {
                #expect(objective(other) >= best * (1 - 1e-6), "\(place) by \(factor)")
            }
        }
        // What runs determine is not at a bound.
        #expect(try ScalingLawFit(self.runs(Self.law), options: options).undetermined.isEmpty)
    }

    /// Huber's loss: one run that went wrong hardly moves the fit.
    @Test func anOutlierIsNotFollowed() throws {
        var options = ScalingLawFit.Options()
        options.bootstrapCount = 0
        var runs = runs(Self.law)
        runs[20].loss *= 1.5
        let fit = try ScalingLawFit(runs, options: options).law
        #expect(abs(fit.irreducibleLoss - Self.law.irreducibleLoss) < 0.01)
        #expect(abs(fit.parameterExponent - Self.law.parameterExponent) < 0.005)
    }

    @Test func tooFewRunsAreRefused() {
        let all = runs(Self.law)
        for (wrong, message) in [
            (Array(all.prefix(5)), "at least 6"), (Array(all.prefix(6)), "single token count"),
            (all.filter { $0.averageParameters == 1e7 }, "single size"),
        ] {
            #expect {
                try ScalingLawFit(wrong, source: "runs.csv")
            } throws: {
                ($0 as? CoppiceError)?.kind == .badData && "\($0)".hasPrefix("runs.csv") && "\($0)".contains(message)
            }
        }
    }

    @Test func runsAreReadFromCSV() throws {
        let text = "name, parameters,tokens,\"loss\",final_sparsity\na,1e6,2e7,3.5,0\nb,2000000,2e7,3.25,0.6\n\n"
        let runs = try ScalingRun.parse(text, source: "runs.csv")
        #expect(
            runs == [
                ScalingRun(averageParameters: 1e6, tokens: 2e7, loss: 3.5),
                ScalingRun(averageParameters: 2e6, tokens: 2e7, loss: 3.25, finalSparsity: 0.6),
            ])
        for (wrong, message) in [
            ("", "is empty"), ("parameters,token,loss\n", "no column \"tokens\""),
            ("parameters,tokens,loss\n1,2\n", "line 2: loss: expected a number above 0, found nothing"),
            ("parameters,tokens,loss\n1,2,-3\n", "found -3"),
            ("parameters,tokens,loss,final_sparsity\n1,2,3,1\n", "final_sparsity"),
        ] {
            #expect {
                try ScalingRun.parse(wrong, source: "runs.csv")
            } throws: {
                ($0 as? CoppiceError)?.kind == .badData && "\($0)".contains(message)
            }
        }
        #expect(throws: CoppiceError.self) { try ScalingRun.load("/nowhere/runs.csv") }
    }

    // MARK: - Plans

    @Test func computeOptimumIsTheBestSplit() {
        let law = Self.law
        for operations in [1e18, 1e21] {
            let (parameters, tokens) = law.computeOptimum(operations: operations)
            #expect(abs(6 * parameters * tokens / operations - 1) < 1e-12)
            let best = law.loss(parameters: parameters, tokens: tokens)
            for factor in [0.9, 0.99, 1.01, 1.1] {
                #expect(law.loss(parameters: parameters * factor, tokens: tokens / factor) > best)
            }
        }
    }

    /// At the optimum the gradient of compute is a multiple of that of the loss, in ln N̄ and ln D.
    @Test(arguments: [0, 1e9, 1e11, 1e14]) func plansSatisfyTheFirstOrderConditions(inferenceTokens: Double) throws {
        let law = Self.law
        let plan = try ScalingPlan(operations: 1e20, law: law, inferenceTokens: inferenceTokens)
        #expect(plan.options.map(\.finalSparsity) == [0, 0.2, 0.4, 0.6, 0.8])
        for option in plan.options {
            #expect(abs(option.loss - plan.loss) < 1e-9)
            let size = law.parameterExponent * law.parameterScale / pow(option.averageParameters, law.parameterExponent)
            let tokens = law.tokenExponent * law.tokenScale / pow(option.tokens, law.tokenExponent)
            let ratio = (option.trainingOperations + option.inferenceOperations) / option.trainingOperations
            #expect(abs(size / tokens / ratio - 1) < 1e-6)
            let density = ComputePhaseSchedule.averageDensity(finalSparsity: option.finalSparsity)
            #expect(abs(option.averageParameters / option.denseParameters - density) < 1e-9)
            #expect(abs(option.finalParameters / option.denseParameters - (1 - option.finalSparsity)) < 1e-9)
            #expect(option.inferenceOperations == 2 * option.finalParameters * inferenceTokens)
        }
        #expect(plan.best == plan.options[4])
    }

    @Test func withoutUseSparsityTakesTheSameComputeAndLeavesLess() throws {
        let plan = try ScalingPlan(operations: 1e20, law: .chinchilla)
        let optimum = ScalingLaw.chinchilla.computeOptimum(operations: 1e20)
        for option in plan.options {
            #expect(abs(option.averageParameters / optimum.parameters - 1) < 1e-6)
            #expect(abs(option.trainingOperations / 1e20 - 1) < 1e-6)
        }
        let finals = plan.options.map(\.finalParameters)
        #expect(zip(finals, finals.dropFirst()).allSatisfy { $0 > $1 })
        // 80 %: about half the size of the dense model of the same loss.
        #expect(abs(finals[4] / finals[0] - 0.5) < 0.01)
    }

    @Test func moreUseMeansSmallerModelsOnMoreTokens() throws {
        let plans = try [0, 1e11, 1e12, 1e13].map {
            try ScalingPlan(loss: 2.3, law: .chinchilla, inferenceTokens: $0, sparsities: [0]).options[0]
        }
        #expect(zip(plans, plans.dropFirst()).allSatisfy { $0.finalParameters > $1.finalParameters })
        #expect(zip(plans, plans.dropFirst()).allSatisfy { $0.tokens < $1.tokens })
        #expect(zip(plans, plans.dropFirst()).allSatisfy { $0.operations < $1.operations })
    }

    @Test func impossiblePlansAreRefused() {
        #expect(throws: CoppiceError.self) { try ScalingPlan(loss: 1.69, law: .chinchilla) }
        #expect(throws: CoppiceError.self) { try ScalingPlan(operations: 0, law: .chinchilla) }
        #expect(throws: CoppiceError.self) { try ScalingPlan(operations: 1e20, law: .chinchilla, sparsities: [1]) }
        #expect(throws: CoppiceError.self) { try ScalingPlan(operations: 1e20, law: .chinchilla, inferenceTokens: -1) }
        var flat = ScalingLaw.chinchilla
        flat.parameterExponent = 0
        #expect(throws: CoppiceError.self) { try ScalingPlan(loss: 2.3, law: flat) }
    }
}
