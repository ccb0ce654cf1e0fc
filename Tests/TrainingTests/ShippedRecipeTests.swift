import CoppiceTensors
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
        #expect(measured.processorSeconds.count == 3 && measured.processorSeconds.allSatisfy { $0 > 0 })
        let median = measured.stepSeconds.sorted()[1]
        #expect(abs(measured.itemsPerSecond - 16 / median) < 1e-6 * measured.itemsPerSecond)
        #expect(measured.json["train_tok_s"]?.doubleValue == measured.itemsPerSecond)
        #expect(measured.json["parameters"]?.intValue == 64)
    }

    @Test func optimizersOfImagesAreMeasured() throws {
        for (rule, name) in [
            (nil, "sgd"), (TrainingBenchmark.Rule.adamw, "adamw"), (.mfac(gradients: 2), "mfac with 2 gradients"),
            (.mfac(gradients: 2, storage: .bf16), "mfac with 2 gradients in bf16"),
        ] {
            let measured = try TrainingBenchmark.measure(
                .leNet300, rule: rule, batchSize: 2, steps: 2, warmupSteps: 1)
            #expect(measured.stepSeconds.count == 2 && measured.parameters == 266_610)
            #expect(measured.json["optimizer"]?.stringValue == name)
        }
        #expect(throws: CoppiceError.self) { try TrainingBenchmark.measure(.llama3M, rule: .sgd) }
        #expect(throws: CoppiceError.self) {
            try TrainingBenchmark.measure(.leNet300, rule: .mfac(gradients: 65_536), batchSize: 2)
        }
    }
}
