import CoppiceInference
import CoppiceTensors
import Foundation
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization

/// An HTTP server that speaks OpenAI's API for one or several text engines.
///
/// ```swift
/// let server = try CoppiceServer(engines: [engine], configuration: configuration)
/// try await server.runUntilSignal()    // returns after SIGTERM or SIGINT, when running requests are done
/// ```
///
/// It is a `Service`, so it can also be run in a service group of one's own; ``shutDown()`` stops it from within.
/// A server runs once.
public final class CoppiceServer: Service {
    private let endpoints: Endpoints
    private let configuration: ServerConfiguration
    private let logger: Logger
    private let listening = ListeningAddress.Promise()
    private let shutdown = Mutex(Shutdown())

    private struct Shutdown {
        var group: ServiceGroup?
        var task: Task<Void, Never>?
        var isOver = false
    }

    /// Prepares a server; nothing is bound before ``run()``.
    ///
    /// - Parameter engines: Their models' names must differ. The server shuts them down when it stops.
    /// - Throws: `CoppiceError` of kind `.usage` when the configuration or the list of engines cannot be used.
    public init(
        engines: [any TextEngine], configuration: ServerConfiguration = ServerConfiguration(),
        logger: Logger = Logger(label: "coppice.server")
    ) throws {
        try configuration.validate()
        self.configuration = configuration
        self.logger = logger
        endpoints = Endpoints(
            directory: try ModelDirectory(engines), configuration: configuration,
            metrics: ServerMetrics(models: engines.map(\.modelName)), connections: ConnectionRegistry(), drain: Drain(),
            logger: logger,
            started: Int(Date().timeIntervalSince1970))
    }

    /// The address that the server listens on, once it does.
    ///
    /// - Throws: what ``run()`` throws, if that happens first.
    public func address() async throws -> ListeningAddress {
        try await listening.value()
    }

    /// Runs until ``shutDown()``, a graceful shutdown of the service group that it is in, or cancellation of the task.
    ///
    /// Then the listening socket is closed, running requests go on up to the configuration's deadline, what is left is
    /// ended with an error, and the engines are shut down.
    ///
    /// - Throws: `CoppiceError` of kind `.unavailable` when the address cannot be listened on.
    public func run() async throws {
        let group = serviceGroup()
        shutdown.withLock { $0.group = group }
        // Shut down before it was run: the group remembers and stops as soon as it starts.
        if endpoints.drain.isDraining { await group.triggerGracefulShutdown() }
        let result = await withTaskCancellationOrGracefulShutdownHandler {
            // Detached, so that neither reaches Hummingbird before the drain has said so.
            await Task.detached { try await group.run() }.result
        } onCancelOrGracefulShutdown: {
            self.shutDown()
        }
        let drainTask = shutdown.withLock { shutdown in
            shutdown.isOver = true
            return shutdown.task
        }
        drainTask?.cancel()
        for engine in endpoints.directory.engines { await engine.shutdown() }
        do {
            try result.get()
            listening.fail(CoppiceError(.unavailable, source: "server", "stopped before it listened"))
        } catch {
            let error = unavailable(error)
            listening.fail(error)
            throw error
        }
    }

    /// Runs until SIGTERM or SIGINT, or ``shutDown()``.
    ///
    /// - Throws: as ``run()``.
    public func runUntilSignal() async throws {
        let service = ServiceGroupConfiguration.ServiceConfiguration(
            service: self, successTerminationBehavior: .gracefullyShutdownGroup)
        var configuration = ServiceGroupConfiguration(
            services: [service], gracefulShutdownSignals: [.sigterm, .sigint], logger: Self.quiet(logger))
        configuration.maximumCancellationDuration = nil
        try await ServiceGroup(configuration: configuration).run()
    }

    /// Begins a graceful shutdown and returns; ``run()`` returns when it is complete. Asking again does nothing.
    public func shutDown() {
        guard endpoints.drain.begin() else { return }
        logger.info("shutting down: running requests have \(configuration.shutdownDeadline) to finish")
        let task = Task.detached { await self.drain() }
        let isOver = shutdown.withLock { shutdown in
            shutdown.task = task
            return shutdown.isOver
        }
        if isOver { task.cancel() }
    }

    /// Stops accepting, then gives running requests their time, then ends them, then cuts what still hangs on.
    /// Cancelled as soon as nothing is left to wait for.
    private func drain() async {
        do {
            try await Task.sleep(for: configuration.drainDelay)
            await shutdown.withLock { $0.group }?.triggerGracefulShutdown()
            try await Task.sleep(for: configuration.shutdownDeadline)
            endpoints.drain.deadline.fire()
            // Time for the error to reach the clients.
            try await Task.sleep(for: .seconds(1))
            endpoints.connections.closeAll()
        } catch {
            // Cancelled: the server has stopped.
        }
    }

    // MARK: Hummingbird

    private func serviceGroup() -> ServiceGroup {
        let endpoints = endpoints
        let configuration = configuration
        let logger = Self.quiet(logger)
        let connections = HTTP1Channel.Configuration(
            additionalChannelHandlers: [
                ConnectionHandler(registry: endpoints.connections, configuration: configuration)
            ],
            idleTimeout: TimeAmount(configuration.idleTimeout),
            httpDecoderConfiguration: .init(
                maxHeaderFieldSize: configuration.maximumHeaderBytes,
                maxHeaderListSize: configuration.maximumHeaderBytes))
        let application = Application(
            router: endpoints.router(),
            server: .http1(configuration: connections),
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: configuration.port), serverName: "coppice",
                availableConnectionsDelegate: MaximumAvailableConnections(
                    configuration.maximumConnections, logger: logger)),
            onServerRunning: { [listening] channel in
                listening.succeed(ListeningAddress(channel.localAddress, configuration))
            },
            logger: logger)
        return ServiceGroup(configuration: .init(services: [application], logger: logger))
    }

    /// The libraries below log each start and stop; only what goes wrong there is of interest.
    private static func quiet(_ logger: Logger) -> Logger {
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .warning)
        return quiet
    }

    /// What a failure to start means, in one line.
    private func unavailable(_ error: any Error) -> any Error {
        let place = "\(configuration.host):\(configuration.port)"
        switch error {
        case let error as IOError where error.errnoCode == EADDRINUSE:
            return CoppiceError(.unavailable, source: place, "the address is in use; choose another port, or 0 for any")
        case let error as IOError:
            return CoppiceError(
                .unavailable, source: place, "cannot listen: \(String(cString: strerror(error.errnoCode)))")
        case is SocketAddressError.UnknownHost, is SocketAddressError:
            return CoppiceError(.unavailable, source: place, "cannot listen: the host is not known")
        default:
            return error
        }
    }
}
