import CommandSupport

runAsRoot(Statex.self)
