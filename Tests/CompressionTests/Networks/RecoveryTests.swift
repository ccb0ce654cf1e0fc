import CoppiceCompression
import CoppiceModels
import CoppiceNetworks
import CoppiceTensors
import CoppiceTraining
import Testing

@Suite struct RecoveryTests {
    private let source: TensorBatches = {
        let (inputs, targets) = clusters()
        return TensorBatches(inputs: inputs, targets: targets, batchSize: 32, seed: 3)
    }()

    @Test(arguments: [false, true]) func recoveringASubsetLeavesTheRestBitForBit(distills: Bool) throws {
        let prunable = try PrunableNetwork(SmallMLP())
        try prunable.prune(by: .magnitude, to: 0.5)
        let weights = [prunable.values(0).floats(), prunable.values(1).floats()]
        let loss = Classification(of: prunable.network, on: [source.batch(at: 0)]).loss
        let trains = { (name: String) in !name.hasSuffix("weight") }
        let recovery: any Recovery
        if distills {
            let teacher = SmallMLP(seed: 2)
            try shortTraining().run(teacher, on: source)
            recovery = Distillation(shortTraining(), teacher: teacher, temperature: 1, trains: trains)
        } else {
            recovery = FineTuning(shortTraining(), trains: trains)
        }
        var steps: [Int] = []
        try recovery.recover(prunable, on: source) { step, _ in steps.append(step) }
        #expect(steps == Array(0..<60))
        #expect([prunable.values(0).floats(), prunable.values(1).floats()] == weights)
        #expect(Classification(of: prunable.network, on: [source.batch(at: 0)]).loss < loss)
        #expect(prunable.network.parameters.allSatisfy { $0.parameter.isTrainable })
    }

    /// What dropout draws is a function of the step, whatever has been drawn before.
    @Test(arguments: [false, true]) func recoveringAgainIsTheSameWithDropout(distills: Bool) throws {
        let published = try VisionArchitecture(named: "wrn-10-2", classes: 3, imageSize: 8, widthMultiplier: 0.25)
        var configuration = try #require(published.configuration as? WideResNet.Configuration)
        configuration.dropout = 0.5
        let architecture = try VisionArchitecture(configuration)
        let network = architecture.makeNetwork(seed: 1)
        let prunable = try PrunableNetwork(network)
        try prunable.prune(by: .magnitude, to: 0.5)
        let training = shortTraining(steps: 3, rate: 0.01)
        let recovery: any Recovery =
            distills
            ? Distillation(training, teacher: architecture.makeNetwork(seed: 2)) : FineTuning(training)
        var generator = RandomGenerator(seed: 4)
        let inputs = Tensor.normal([16, 3, 8, 8], using: &generator)
        let images = TensorBatches(inputs: inputs, targets: Tensor((0..<16).map { $0 % 3 }), batchSize: 8, seed: 5)
        let start = Snapshot(of: network)
        func recovered() throws -> [[Double]] {
            start.restore(network)
            try recovery.recover(prunable, on: images)
            return numbers(of: network)
        }
        let first = try recovered()
        #expect(try recovered() == first)
    }

    /// Labels do not matter to who listens to the teacher alone, smoothed or not.
    @Test func theTeachersShareIsWithoutLabels() throws {
        let teacher = SmallMLP(seed: 1)
        func taught(_ smoothing: Double, share: Double) throws -> [[Double]] {
            let student = SmallMLP(seed: 2)
            var training = shortTraining(steps: 5)
            training.labelSmoothing = smoothing
            try Distillation(training, teacher: teacher, teacherShare: share).recover(
                PrunableNetwork(student), on: source)
            return numbers(of: student)
        }
        let (plain, smoothed) = (try taught(0, share: 1), try taught(0.9, share: 1))
        for (a, b) in zip(plain, smoothed) { #expect(zip(a, b).allSatisfy { abs($0 - $1) < 1e-5 }) }
        #expect(try taught(0.9, share: 0.5) != taught(0, share: 0.5))
    }

    /// A student that is its teacher has nothing to learn from it.
    @Test func distillationFollowsTheTeacher() throws {
        let (teacher, twin) = (SmallMLP(seed: 1), SmallMLP(seed: 1))
        var training = shortTraining()
        training.optimizer = SGD(momentum: 0)
        let before = numbers(of: twin)
        try Distillation(training, teacher: teacher, teacherShare: 1).recover(PrunableNetwork(twin), on: source)
        let drift = zip(numbers(of: twin), before).flatMap { zip($0, $1).map { abs($0 - $1) } }.max() ?? 0
        #expect(drift < 1e-5)

        let student = SmallMLP(seed: 2)
        let inputs = source.batch(at: 0).inputs
        func agreement() -> Int {
            zip(student.outputs(inputs).argmax().integers(), teacher.outputs(inputs).argmax().integers())
                .filter { $0 == $1 }.count
        }
        let untaught = agreement()
        training = shortTraining(steps: 300, rate: 0.02)
        training.optimizer = AdamW()
        try Distillation(training, teacher: teacher, teacherShare: 1).recover(PrunableNetwork(student), on: source)
        #expect(untaught < 24 && agreement() >= 29)  // of 32
    }
}
