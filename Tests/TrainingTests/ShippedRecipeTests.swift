import CoppiceTraining
import Foundation
import Testing

@Suite struct ShippedRecipeTests {
    @Test func trainingRecipesOfTheRepositoryAreValid() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Recipes").path
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasPrefix("train-") }
        #expect(names.contains("train-tales.yaml") && names.contains("train-tiny.yaml"))
        #expect(names.contains("train-lenet-fashion.yaml") && names.contains("train-resnet20-cifar.yaml"))
        for name in names { _ = try AnyTrainingRecipe.load(folder + "/" + name) }
    }
}

@Suite struct TrainingBenchmarkTests {
    @Test func measuresEachStepAfterTheWarmUp() throws {
        let learner = BigramLearner(vocabularySize: 8)
        let measured = try TrainingBenchmark.measure(learner, batchSize: 2, sequenceLength: 8, steps: 3, warmupSteps: 1)
        #expect(measured.stepSeconds.count == 3 && learner.seeds.count == 4)
        let median = measured.stepSeconds.sorted()[1]
        #expect(abs(measured.itemsPerSecond - 16 / median) < 1e-6 * measured.itemsPerSecond)
        #expect(measured.json["train_tok_s"]?.doubleValue == measured.itemsPerSecond)
        #expect(measured.json["parameters"]?.intValue == 64)
    }
}
